use super::ContentRange;

#[test]
fn a_content_range_has_the_start_and_length_of_a_chunk() {
    for (text, start, length) in [
        ("bytes 0-0/*", 0, 1),
        ("bytes 0-33554431/*", 0, 33_554_432),
        ("bytes 33554432-33554433/*", 33_554_432, 2),
        ("Bytes 5-9/10", 5, 5),
        ("bytes  5-9/*", 5, 5),
        ("bytes 9007199254740991-9007199254740991/*", (1 << 53) - 1, 1),
    ] {
        assert_eq!(ContentRange::parse(text), Some(ContentRange { start, length }), "{text}");
    }
}

#[test]
fn malformed_content_ranges_are_rejected() {
    for text in [
        "",
        "bytes",
        "bytes 0-0",
        "bytes 0-/*",
        "bytes -5/*",
        "bytes */5",
        "bytes 1-0/*",
        "bytes 0--1/*",
        "bytes 0-9/9",
        "bytes 0-9/x",
        "bytes +0-9/*",
        "lines 0-9/*",
        "bytes=0-9",
        "bytes 0-9007199254740992/*",
        "bytes 0-99999999999999999999999/*",
    ] {
        assert_eq!(ContentRange::parse(text), None, "{text}");
    }
}
