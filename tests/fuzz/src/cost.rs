//! What reading may cost.

/// The most bytes that may be allocated, in all, while something is read.
pub struct Cost {
    /// For each byte that is read.
    pub per_byte: u64,
    /// For anything at all.
    pub base: u64,
}

impl Cost {
    /// Reads, and holds the allocator's count against the limit.
    pub fn of<T>(&self, bytes: usize, read: impl FnOnce() -> T) -> T {
        let mut result = None;
        let counted = allocation_counter::measure(|| result = Some(read()));
        let most = self.base + self.per_byte * bytes as u64;
        let spent = counted.bytes_total;
        assert!(spent <= most, "{spent} bytes allocated to read {bytes}; at most {most}");
        result.expect("it has been read")
    }
}
