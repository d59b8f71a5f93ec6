//! Receipt handles.

use super::error::ApiError;
use super::queue::unknown_queue;
use super::{World, hex};

const PREFIX: &str = "AQEB";

impl World {
    /// The number of the message and its receive count, from a receipt handle.
    pub(super) fn read_receipt(&self, queue: &str, receipt: &str) -> Result<(u64, u32), ApiError> {
        if !self.queues.contains_key(queue) {
            return Err(unknown_queue());
        }
        let parsed = parse(receipt)
            .filter(|(number, count, checked)| *checked == check(self.config.seed, queue, *number, *count));
        let parsed = parsed.map(|(number, count, _)| (number, count));
        parsed.ok_or_else(|| {
            let message = format!("The input receipt handle \"{receipt}\" is not a valid receipt handle.");
            ApiError::sender("ReceiptHandleIsInvalid", message)
        })
    }
}

/// A receipt handle carries these numbers, and a check that it was issued here.
pub(super) fn write_receipt(seed: u64, queue: &str, number: u64, receive_count: u32) -> String {
    let mut receipt = String::with_capacity(PREFIX.len() + 3 * hex::DIGITS);
    receipt.push_str(PREFIX);
    for part in [number, receive_count.into(), check(seed, queue, number, receive_count)] {
        hex::push(&mut receipt, part);
    }
    receipt
}

/// The number of the message, its receive count, and the check.
fn parse(receipt: &str) -> Option<(u64, u32, u64)> {
    let mut parts = receipt.strip_prefix(PREFIX)?.as_bytes().chunks(hex::DIGITS).map(hex::read);
    let (number, count, check) = (parts.next()??, parts.next()??, parts.next()??);
    let whole = parts.next().is_none();
    whole.then_some((number, u32::try_from(count).ok()?, check))
}

fn check(seed: u64, queue: &str, number: u64, receive_count: u32) -> u64 {
    let mut check = seed ^ number.rotate_left(32) ^ u64::from(receive_count);
    for byte in queue.bytes() {
        check = (check ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    check
}
