use super::*;

#[test]
fn a_scope_is_read_as_it_is_written() {
    for name in ["refs/heads/main", "", "a=b", "=r"] {
        for (read, write) in [(false, false), (true, false), (false, true), (true, true)] {
            let scope = Scope { name: name.to_owned(), read, write };
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
    }
    assert_eq!(Scope { name: "main".to_owned(), read: true, write: true }.to_string(), "main=rw");
    for text in ["main", "", "main=wr", "main=x", "main=R", "main=rw "] {
        assert_eq!(text.parse::<Scope>(), Err(InvalidScope), "{text}");
    }
}
