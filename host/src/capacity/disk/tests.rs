use super::cap;

#[test]
fn what_others_have_on_the_disk_is_taken_off() {
    // 1000 bytes, 300 of them used, 100 of those by the storage.
    assert_eq!(cap(80, 1000, 700, 100), 600);
    assert_eq!(cap(10, 1000, 700, 100), 0);
    assert_eq!(cap(100, 1000, 1000, 0), 1000);
}
