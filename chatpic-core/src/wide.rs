//! Inner loops on a processor's widest registers.

/// Does some work with the instructions that the processor has (AVX2) and not only with those that all have.
///
/// Only what is inlined gains by it: the functions it calls want `#[inline(always)]`. Results are the same to the last
/// bit, since the compiler neither reorders sums nor fuses products with them.
macro_rules! wide {
    ($work:expr) => {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || $work,
        )
    };
}

pub(crate) use wide;
