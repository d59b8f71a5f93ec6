//! Counts the comparisons for reading expensive inputs. Fails if eight times the input takes much more than eight times
//! as many. Unlike times, the counts are the same in every run.
//!
//! libFuzzer is not linked into this program. The compiler's instrumentation calls the functions here instead.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use fuzz::TARGETS;

/// How many times as many comparisons eight times the input may take. Quadratic time would take 64 times as many.
const LINEAR_MAX: u64 = 12;

static COMPARED: AtomicU64 = AtomicU64::new(0);

macro_rules! hooks {
    ($($hook:ident($integer:ty)),*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $hook(_: $integer, _: $integer) {
            COMPARED.fetch_add(1, Ordering::Relaxed);
        }
    )*};
}

hooks!(
    __sanitizer_cov_trace_cmp1(u8),
    __sanitizer_cov_trace_cmp2(u16),
    __sanitizer_cov_trace_cmp4(u32),
    __sanitizer_cov_trace_cmp8(u64),
    __sanitizer_cov_trace_const_cmp1(u8),
    __sanitizer_cov_trace_const_cmp2(u16),
    __sanitizer_cov_trace_const_cmp4(u32),
    __sanitizer_cov_trace_const_cmp8(u64)
);

#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_trace_switch(_: u64, _: *const u64) {
    COMPARED.fetch_add(1, Ordering::Relaxed);
}

fn main() -> ExitCode {
    let mut linear = true;
    for target in TARGETS {
        for shape in fuzz::pathological::shapes(target.name) {
            let [short, long] = [target.size_max / 8, target.size_max].map(|size| {
                let input = shape.input(size);
                let before = COMPARED.load(Ordering::Relaxed);
                (target.run)(&input);
                COMPARED.load(Ordering::Relaxed) - before
            });
            let told = format!(
                "{}: {}: {short} comparisons, for eight times as much {long}",
                target.name, shape.name
            );
            if long <= LINEAR_MAX * short {
                println!("{told}");
            } else {
                println!("{told}, which is more than {LINEAR_MAX} times as many");
                linear = false;
            }
        }
    }
    if linear { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
