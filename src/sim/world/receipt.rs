//! Receipt handles.

use super::World;
use super::error::ApiError;
use super::queue::unknown_queue;

impl World {
    /// The message and the receipt of it that a handle stands for.
    pub(super) fn read_receipt(&self, queue: &str, receipt: &str) -> Result<(u64, u32), ApiError> {
        if !self.queues.contains_key(queue) {
            return Err(unknown_queue());
        }
        let parts = receipt.get(4..20).zip(receipt.get(20..28));
        let parsed = parts.and_then(|(number, count)| {
            let number = u64::from_str_radix(number, 16).ok()?;
            Some((number, u32::from_str_radix(count, 16).ok()?))
        });
        let ours =
            |&(number, count): &(u64, u32)| write_receipt(self.config.seed, queue, number, count) == receipt;
        parsed.filter(ours).ok_or_else(|| {
            let message = format!("The input receipt handle \"{receipt}\" is not a valid receipt handle.");
            ApiError::sender("ReceiptHandleIsInvalid", message)
        })
    }
}

/// A receipt handle carries what it stands for, and a check that it was made here.
pub(super) fn write_receipt(seed: u64, queue: &str, number: u64, receive_count: u32) -> String {
    let mut check = seed ^ number.rotate_left(32) ^ u64::from(receive_count);
    for byte in queue.bytes() {
        check = (check ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("AQEB{number:016x}{receive_count:08x}{check:016x}")
}
