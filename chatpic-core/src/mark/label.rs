//! One drawn label, as the visible mark makes it and a copy shows it.

/// A small picture laid over the luma of a rendition; colour differences stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Left edge in pixels of the rendition it is drawn on.
    pub x: u32,
    /// Top edge in pixels of the rendition.
    pub y: u32,
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height` pixels, row by row. Missing ones are not drawn, and neither is what lies outside the rendition.
    pub pixels: Vec<LabelPixel>,
}

/// One pixel of a label: `y' = y + (luma - y) * weight / 255`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LabelPixel {
    /// The label's own luma, 0-255.
    pub luma: u8,
    /// Opacity: 0 leaves the image, 255 replaces its luma.
    pub weight: u8,
}

impl LabelPixel {
    /// What shows where this is drawn over a luma, or over one of a pixel's colours.
    pub(crate) fn over(self, under: u8) -> u8 {
        let weight = u16::from(self.weight);
        let mixed = u16::from(under) * (255 - weight) + u16::from(self.luma) * weight + 127;
        // The quotient by 255 in numbers of sixteen bits, exact for all that comes here: at most 65 152.
        ((mixed + 1 + (mixed >> 8)) >> 8) as u8
    }
}

impl Label {
    /// The label's visible pixels with their places on the rendition.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u32, u32, LabelPixel)> + '_ {
        let width = self.width.max(1) as usize;
        let pixels = self.pixels.iter().take(self.width as usize * self.height as usize).enumerate();
        pixels.filter(|(_, p)| p.weight > 0).filter_map(move |(i, &pixel)| {
            let x = self.x.checked_add((i % width) as u32)?;
            let y = self.y.checked_add((i / width) as u32)?;
            Some((x, y, pixel))
        })
    }
}
