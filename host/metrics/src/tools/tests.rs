//! Keys as clients make them.

use super::tool;

#[test]
fn the_tool_is_the_first_word_that_is_not_a_place() {
    for (key, expected) in [
        ("Linux-cargo-0123456789abcdef", "cargo"),
        ("node-cache-Linux-x64-npm-f00dfeed01", "node"),
        ("v0-rust-test-abcdef0123", "rust"),
        ("setup-go-Linux-x64-ubuntu22-go-1.22-f00d", "go"),
        ("buildkit-blob-1-sha256:aa", "buildkit"),
        ("sccache/0/1/2/0123456789abcdef", "sccache"),
        ("0/1/2/0123456789abcdef0123", "_hash"),
        ("0123456789abcdef.narinfo", "narinfo"),
        ("2024-01-02", "_num"),
        ("", "_other"),
        ("---", "_other"),
        ("a-b-c", "_other"),
        ("émile-1", "_other"),
        ("averyveryverylongwordthatnobodymeans", "_other"),
    ] {
        assert_eq!(tool(key), expected, "{key}");
    }
}
