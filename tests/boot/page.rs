//! The commands of docs/install.md.

/// A fenced code block.
#[derive(Debug)]
pub struct Block {
    /// The words after the opening fence, such as `sh elsewhere`.
    pub kind: String,
    pub text: String,
}

/// The blocks under a heading, in order.
pub fn blocks(heading: &str) -> Vec<Block> {
    let page = include_str!("../../docs/install.md");
    let start =
        page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("docs/install.md has no {heading}"));
    let section = &page[start + 1 + heading.len()..];
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut fences = section.split("\n```");
    fences.next();
    let mut blocks = Vec::new();
    // Every second piece is the text between blocks.
    while let Some(block) = fences.next() {
        let (kind, text) = block.split_once('\n').expect("a fence ends with its line");
        blocks.push(Block { kind: kind.to_owned(), text: format!("{text}\n") });
        fences.next();
    }
    blocks
}
