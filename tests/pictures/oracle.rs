//! Pillow as a second decoder: it is asked over a pipe, some hundred times a second.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use image::RgbaImage;

/// A running interpreter; it ends with the value.
pub(crate) struct Oracle {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What Pillow says of a file that it opens.
pub(crate) struct Verdict {
    pub(crate) frames: u32,
    pub(crate) size: (u32, u32),
    /// How far each picture is from it, in levels of 255.
    pub(crate) differences: Vec<f64>,
}

impl Oracle {
    pub(crate) fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let python = root.join(".venv/bin/python");
        let mut process = Command::new(&python)
            .arg(root.join("tests/pictures/oracle.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{}: {error}: `scripts/test --install` makes it", python.display())
            });
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, input, output }
    }

    /// Compares a file's frames with pictures; `None` when Pillow refuses it.
    pub(crate) fn ask(&mut self, file: &[u8], pictures: &[(u32, RgbaImage)]) -> Option<Verdict> {
        let mut asked = Vec::new();
        let mut number = |number: u32, bytes: &[u8]| {
            asked.extend(number.to_le_bytes());
            asked.extend(bytes);
        };
        number(file.len() as u32, file);
        number(pictures.len() as u32, &[]);
        for (frame, picture) in pictures {
            number(*frame, &[]);
            number(picture.width(), &[]);
            number(picture.height(), picture);
        }
        self.input.write_all(&asked).expect("Pillow is missing: `scripts/test --install` gets it");
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        if line.trim_end() == "refused" {
            return None;
        }
        let numbers: Vec<f64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
        assert!(
            numbers.len() == 3 + pictures.len(),
            "Pillow is missing or ended: `scripts/test --install` gets it"
        );
        let size = (numbers[1] as u32, numbers[2] as u32);
        Some(Verdict { frames: numbers[0] as u32, size, differences: numbers[3..].to_vec() })
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
