//! Inputs that are cheap to send and may be expensive to read. Each repeats a piece up to a given length.

/// One such input, at any length.
pub struct Shape {
    target: &'static str,
    /// A description of the input.
    pub name: &'static str,
    before: &'static [u8],
    /// `#` stands for the number of earlier repetitions.
    piece: &'static [u8],
    after: &'static [u8],
}

/// The shapes for a target.
pub fn shapes(target: &str) -> impl Iterator<Item = &'static Shape> {
    SHAPES.iter().filter(move |shape| shape.target == target)
}

impl Shape {
    /// An input of about this many bytes, and never more.
    pub fn input(&self, size: usize) -> Vec<u8> {
        let mut input = self.before.to_vec();
        for number in 0.. {
            let number = number.to_string();
            let piece: Vec<u8> = self
                .piece
                .iter()
                .flat_map(|byte| if *byte == b'#' { number.as_bytes() } else { std::slice::from_ref(byte) })
                .copied()
                .collect();
            if input.len() + piece.len() + self.after.len() > size {
                break;
            }
            input.extend(piece);
        }
        input.extend(self.after);
        input
    }
}

const fn shape(
    target: &'static str,
    name: &'static str,
    before: &'static [u8],
    piece: &'static [u8],
    after: &'static [u8],
) -> Shape {
    Shape { target, name, before, piece, after }
}

#[rustfmt::skip]
const SHAPES: &[Shape] = &[
    shape("agent", "lists in lists", b"{\"state\":", b"[", b""),
    shape("agent", "objects in objects", b"", b"{\"state\":", b""),
    shape("agent", "gauges", b"{\"state\":\"serving\",\"gauges\":{", b"\"g#\":1,", b"\"g\":1}}"),
    shape("agent", "one gauge, repeated", b"{\"state\":\"serving\",\"gauges\":{", b"\"g\":1,", b"\"g\":1}}"),
    shape("agent", "a gauge of small lists", b"{\"state\":\"serving\",\"gauges\":{\"g\":[", b"[1],", b"1]}}"),
    shape("agent", "a gauge of many digits", b"{\"state\":\"serving\",\"gauges\":{\"g\":1", b"7", b"}}"),
    shape("agent", "a long state", b"{\"state\":\"", b"\\u001b", b"\"}"),
    shape("agent", "a long detail", b"{\"state\":\"serving\",\"detail\":\"", b"\\n", b"\"}"),
    shape("agent", "unknown keys", b"{\"state\":\"serving\"", b",\"k#\":{}", b"}"),
    shape("agent", "an unknown key", b"{\"state\":\"serving\",\"", b"k", b"\":1}"),
    shape("agent", "not UTF-8", b"{\"state\":\"", b"\xff", b"\"}"),
    shape("agent", "spaces", b"", b" ", b"{}"),

    shape("agent_http", "headers", b"\0HTTP/1.1 200 OK\r\n", b"h#: v\r\n", b"\r\n"),
    shape("agent_http", "a long header", b"\0HTTP/1.1 302 Found\r\nlocation: ", b"v", b"\r\n\r\n"),
    shape("agent_http", "preferences", b"\0HTTP/1.1 200 OK\r\npreference-applied: ", b"w,", b"\r\n\r\n{\"state\":\"serving\"}"),
    shape("agent_http", "small chunks", b"\0HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n", b"0\r\n\r\n"),
    shape("agent_http", "continue", b"\0", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"),
    shape("agent_http", "a long reason", b"\0HTTP/1.1 500 ", b"x", b"\r\n\r\n"),
    shape("agent_http", "a long refusal", b"\0HTTP/1.1 500 E\r\n\r\n", b"\x1b", b""),
    shape("agent_http", "no end", b"\0", b"x", b""),

    shape("config", "unknown keys", b"[agent]\n", b"k#=1\n", b""),
    shape("config", "an unknown key", b"[agent]\n", b"drain_timeout", b"=1\n"),
    shape("config", "unknown sections", b"", b"[s#]\n", b""),
    shape("config", "agents", b"", b"[[agent]]\n", b""),
    shape("config", "agents that are numbers", b"agent=[", b"1,", b"]\n"),
    shape("config", "tables in tables", b"agent.", b"a.", b"a=1\n"),
    shape("config", "lists in lists", b"[agent]\nurl=", b"[", b""),
    shape("config", "inline tables", b"[agent]\nurl=", b"{a=", b""),
    shape("config", "a long value", b"[agent]\nname=\"", b"x", b"\"\n"),
    shape("config", "a long number", b"[agent]\nname=", b"7", b"\n"),
    shape("config", "comments", b"", b"#\n", b""),
    shape("config", "the same key", b"[agent]\n", b"url=\"x\"\n", b""),
    shape("config", "unknown variables", b"", b"\0DRAINHOOK_AGENT__K#=1", b""),
    shape("config", "a long variable", b"\0DRAINHOOK_AGENT__", b"DRAIN_TIMEOUT", b"=1"),
    shape("config", "a long value of a variable", b"\0DRAINHOOK_AGENT__URL=", b"x", b""),

    shape("control", "empty lines", b"", b"\n", b""),
    shape("control", "requests", b"", b"{\"command\":\"status\"}\n", b""),
    shape("control", "wrong requests", b"", b"{\"command\":\"dance\"}\n", b""),
    shape("control", "one long line", b"{\"command\":\"", b"x", b"\"}\n"),
    shape("control", "lists in lists", b"{\"command\":", b"[", b"\n"),
    shape("control", "long extensions", b"", b"{\"command\":\"extend\",\"seconds\":18446744073709551615}\n", b""),

    shape("imds", "lists in lists", b"", b"[", b""),
    shape("imds", "objects in objects", b"", b"{\"action\":", b""),
    shape("imds", "scheduled events", b"[", b"{\"EventId\":\"e#\",\"Code\":\"c\"},", b"{\"EventId\":\"e\",\"Code\":\"c\"}]"),
    shape("imds", "unknown keys", b"[{", b"\"k#\":1,", b"\"EventId\":\"e\",\"Code\":\"c\"}]"),
    shape("imds", "a long name", b"[{\"EventId\":\"", b"x", b"\",\"Code\":\"c\"}]"),
    shape("imds", "a long action", b"{\"time\":\"x\",\"action\":\"", b"\\n", b"\"}"),
    shape("imds", "a long time", b"{\"action\":\"stop\",\"time\":\"2017-09-18T08:22:00.", b"0", b"Z\"}"),
    shape("imds", "a long date", b"[{\"EventId\":\"e\",\"Code\":\"c\",\"NotBefore\":\"", b"(", b"\"}]"),
    shape("imds", "spaces", b"", b" ", b"i-0123456789abcdef0"),

    shape("journal", "lists in lists", b"{\"version\":", b"[", b""),
    shape("journal", "objects in objects", b"", b"{\"drain\":", b""),
    shape("journal", "a long version", b"{\"version\":\"", b"\\u001b", b"\"}"),
    shape("journal", "tokens", b"{\"version\":1,\"instance_id\":\"i-0123456789abcdef0\",\"served\":true,\"agents\":[],\"notices\":{\"target\":null,\"action\":null,\"spot\":null,\"rebalance\":null,\"maintenance\":{},\"operator\":false,\"settled\":[]},\"drain\":null,\"finished\":[", b"\"t#\",", b"\"t\"]}"),
    shape("journal", "agents", b"{\"version\":1,\"instance_id\":\"i-0123456789abcdef0\",\"served\":true,\"notices\":{\"target\":null,\"action\":null,\"spot\":null,\"rebalance\":null,\"maintenance\":{},\"operator\":false,\"settled\":[]},\"drain\":null,\"finished\":[],\"agents\":[", b"{\"name\":\"a\",\"told\":true,\"seen_draining\":true,\"soft_deadline\":null},", b"{\"name\":\"a\",\"told\":true,\"seen_draining\":true,\"soft_deadline\":null}]}"),
    shape("journal", "unknown keys", b"{", b"\"k#\":1,", b"\"version\":1}"),

    shape("queue", "lists in lists", b"{\"detail\":", b"[", b""),
    shape("queue", "objects in objects", b"", b"{\"detail\":", b""),
    shape("queue", "a long message in an envelope", b"{\"Type\":\"Notification\",\"Message\":\"", b"\\\\\\u001b", b"\"}"),
    shape("queue", "a long type", b"{\"Type\":\"", b"\\u202e", b"\"}"),
    shape("queue", "a long name", b"{\"LifecycleTransition\":\"autoscaling:EC2_INSTANCE_TERMINATING\",\"EC2InstanceId\":\"", b"x", b"\"}"),
    shape("queue", "entities", b"{\"source\":\"aws.health\",\"detail\":{\"affectedEntities\":[", b"{\"entityValue\":\"i-#\"},", b"{}]}}"),
    shape("queue", "resources", b"{\"source\":\"aws.health\",\"detail\":{},\"resources\":[", b"\"instance/i-#\",", b"\"\"]}"),
    shape("queue", "a long resource", b"{\"source\":\"aws.health\",\"detail\":{},\"resources\":[\"", b"instance/", b"\"]}"),
    shape("queue", "unknown keys", b"{\"detail\":{", b"\"k#\":1,", b"\"k\":1}}"),
    shape("queue", "the same key", b"{\"detail\":{\"state\":\"running\"", b",\"state\":\"running\"", b"}}"),
    shape("queue", "a long number", b"{\"detail\":", b"9", b"}"),
    shape("queue", "spaces", b"", b" ", b"{}"),
];
