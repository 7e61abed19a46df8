use super::{bytes, escaped, percent};

#[test]
fn a_name_means_nothing_in_markdown() {
    assert_eq!(escaped("CI / build, v1.2-a"), "CI / build, v1.2-a");
    assert_eq!(
        escaped("a|b\n<img>`*[x](y)_&"),
        "a&#124;b &#60;img&#62;&#96;&#42;&#91;x&#93;&#40;y&#41;&#95;&#38;"
    );
    assert_eq!(escaped(&"x".repeat(100)).len(), 60);
}

#[test]
fn bytes_and_shares_are_for_people() {
    let of = [0, 999, 1_000, 9_940, 9_960, 999_400, 999_600, u64::MAX].map(bytes);
    assert_eq!(of, ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "18447 PB"]);
    assert_eq!([Some(0.5), Some(1.0), None].map(percent), ["50.0 %", "100.0 %", "–"]);
}
