//! Inner loops on a processor's widest registers.

/// Runs `$work` with AVX2 where the processor has it.
///
/// Only what is inlined gains by it: the functions it calls want `#[inline(always)]`. Results are the same to the last
/// bit, since the compiler neither reorders sums nor fuses products with them.
macro_rules! wide {
    ($work:expr) => {{
        let once = $crate::wide::Once;
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                let _once = once;
                $work
            },
        )
    }};
}

/// Makes a closure that gives it away one that can be called only once. Others are called through a function that the
/// compiler makes, which is not inlined, and so is left without the instructions.
pub(crate) struct Once;

pub(crate) use wide;
