//! What decoding an upload costs, as ratios to libjpeg-turbo-rs, whose vector instructions are unsafe code, on the same file
//! in the same run: `cargo bench -p chatpic-core --features testing --bench intake`.
//!
//! Each figure is the least of a few runs, in processor time; only the ratios travel.
#![expect(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;

use chatpic_core::testing::samples;
use chatpic_core::{Limits, decode};
use libjpeg_turbo_rs::{Decoder, Encoder, PixelFormat, Subsampling};
use rustix::time::{ClockId, clock_gettime};

/// The least of a few times, in milliseconds.
fn time<T>(mut work: impl FnMut() -> T) -> f64 {
    let read = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
    };
    let once = |_| {
        let start = read();
        black_box(work());
        read() - start
    };
    (0..7).map(once).fold(f64::MAX, f64::min)
}

fn main() {
    for (width, height) in [(4000, 3000), (1920, 1300), (768, 512)] {
        println!("\n{width} x {height}");
        let photograph = samples::photograph(width, height, 3);
        let (width, height) = (width as usize, height as usize);
        let encoder = || Encoder::new(photograph.as_raw(), width, height, PixelFormat::Rgb).quality(88);
        for (name, encoder) in [
            ("4:2:0", encoder().subsampling(Subsampling::S420)),
            ("4:4:4", encoder().subsampling(Subsampling::S444)),
            ("4:2:0, progressive", encoder().subsampling(Subsampling::S420).progressive(true)),
        ] {
            let file = encoder.encode().unwrap();
            let reference = time(|| {
                let mut decoder = Decoder::new(&file).unwrap();
                decoder.set_output_format(PixelFormat::Rgb);
                decoder.decode_image().unwrap().data.len()
            });
            let took = time(|| decode(&file, &Limits::default()).unwrap());
            let ratio = took / reference;
            println!("{name:20} {took:9.2} ms = {ratio:5.2} x libjpeg-turbo-rs ({reference:.2} ms)");
        }
    }
}
