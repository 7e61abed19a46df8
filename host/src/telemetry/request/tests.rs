use std::task::Waker;

use super::*;

impl Outcome for () {
    fn failure(&self) -> Option<String> {
        None
    }
}

#[test]
fn a_scope_ends_with_its_guard_and_the_outer_one_goes_on() {
    let (outer, inner) = (RequestScope::new("outer"), RequestScope::new("inner"));
    assert_eq!(current_id(), None);
    let entered = outer.enter();
    {
        let _entered = inner.enter();
        assert_eq!(current_id().as_deref(), Some("inner"));
        assert_eq!(current_id().as_deref(), Some("inner"), "looking changes nothing");
    }
    assert_eq!(current_id().as_deref(), Some("outer"));
    drop(entered);
    assert_eq!(current_id(), None);
}

#[test]
fn a_future_is_in_its_request_while_it_is_polled_and_not_between() {
    let mut polls = 0;
    let future = std::future::poll_fn(move |_| {
        assert_eq!(current_id().as_deref(), Some("an id"));
        polls += 1;
        if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
    });
    let mut future = InRequest::new(future, Some(RequestScope::new("an id")), "a call");
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut future).poll(cx).is_pending());
    assert_eq!(current_id(), None);
    assert!(Pin::new(&mut future).poll(cx).is_ready());
}
