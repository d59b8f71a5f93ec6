//! Receipt handles.

use super::World;
use super::error::ApiError;
use super::queue::unknown_queue;

const PREFIX: &str = "AQEB";

impl World {
    /// The message and the receipt of it that a handle stands for.
    pub(super) fn read_receipt(&self, queue: &str, receipt: &str) -> Result<(u64, u32), ApiError> {
        if !self.queues.contains_key(queue) {
            return Err(unknown_queue());
        }
        let part = |range| u64::from_str_radix(receipt.get(range)?, 16).ok();
        let parsed = part(4..20).zip(part(20..28)).and_then(|(number, count)| {
            let count = u32::try_from(count).ok()?;
            let ours = part(28..receipt.len()) == Some(check(self.config.seed, queue, number, count));
            (ours && receipt.starts_with(PREFIX)).then_some((number, count))
        });
        parsed.ok_or_else(|| {
            let message = format!("The input receipt handle \"{receipt}\" is not a valid receipt handle.");
            ApiError::sender("ReceiptHandleIsInvalid", message)
        })
    }
}

/// A receipt handle carries what it stands for, and a check that it was made here.
pub(super) fn write_receipt(seed: u64, queue: &str, number: u64, receive_count: u32) -> String {
    let check = check(seed, queue, number, receive_count);
    format!("{PREFIX}{number:016x}{receive_count:08x}{check:016x}")
}

fn check(seed: u64, queue: &str, number: u64, receive_count: u32) -> u64 {
    let mut check = seed ^ number.rotate_left(32) ^ u64::from(receive_count);
    for byte in queue.bytes() {
        check = (check ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    check
}
