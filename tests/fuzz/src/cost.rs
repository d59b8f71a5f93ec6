//! How much memory reading may allocate.

/// The most bytes that a reader may allocate in total.
pub struct Cost {
    /// Bytes for each byte of input.
    pub per_byte: u64,
    /// Bytes for any input.
    pub base: u64,
}

impl Cost {
    /// Reads, and checks the allocated bytes against the limit.
    pub fn of<T>(&self, bytes: usize, read: impl FnOnce() -> T) -> T {
        let mut result = None;
        let counted = allocation_counter::measure(|| result = Some(read()));
        let most = self.base + self.per_byte * bytes as u64;
        let spent = counted.bytes_total;
        assert!(spent <= most, "{spent} bytes allocated to read {bytes}; at most {most}");
        result.expect("the reader has run")
    }
}
