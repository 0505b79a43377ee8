//! Inner loops on a processor's widest registers.

/// Does `work` with the instructions the processor has (AVX2) and not only with those that all have.
///
/// Only what is inlined gains by it: pass a closure marked `#[inline(always)]` that holds the whole loop. Results are the
/// same to the last bit, since the compiler neither reorders sums nor fuses products with them.
#[inline(always)]
pub(crate) fn wide<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}
