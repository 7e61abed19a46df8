//! Fault 9: descriptors are divided up before anybody needs one.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::{PER_REQUEST, Shares, Wanted, raise_limit};

const PLAIN: Wanted =
    Wanted { connections: 1024, may_be_fewer: true, threads: 2, database: 0, has_tenants: false };

fn sum(shares: Shares) -> u64 {
    let connections = (shares.connections + shares.leaving + shares.database) as u64;
    shares.reserved + connections + PER_REQUEST * shares.requests as u64
}

#[test]
fn shares_fit_into_small_and_large_limits() {
    for limit in [256, 1024, 4096, 1 << 20] {
        for wanted in [PLAIN, Wanted { threads: 4, database: 10, ..PLAIN }] {
            let shares = Shares::divide(limit, wanted).unwrap();
            assert!(sum(shares) <= limit, "{shares:?}");
            assert!(shares.connections >= 64 && shares.requests >= 30, "{shares:?}");
            assert!(shares.connections <= 1024 && shares.requests <= 4096, "{shares:?}");
        }
    }
    assert_eq!(Shares::divide(1 << 20, PLAIN).unwrap().connections, 1024);
}

#[test]
fn what_is_asked_for_is_given_or_refused_in_one_line() {
    let wanted = Wanted { connections: 500, may_be_fewer: false, ..PLAIN };
    let shares = Shares::divide(1024, wanted).unwrap();
    assert!(shares.connections == 500 && sum(shares) <= 1024, "{shares:?}");
    let refused = Shares::divide(256, wanted).unwrap_err().to_string();
    assert!(refused.contains("256") && refused.contains("max_connections") && !refused.contains('\n'));
    assert!(Shares::divide(0, PLAIN).is_err() && Shares::divide(100, PLAIN).is_err());
}

#[test]
fn what_tenants_have_of_their_own_has_a_share() {
    let (one, several) = (PLAIN, Wanted { has_tenants: true, ..PLAIN });
    let [one, several] = [one, several].map(|wanted| Shares::divide(1024, wanted).unwrap());
    assert_eq!(several.reserved - one.reserved, super::OF_TENANTS as u64);
    assert!(sum(several) <= 1024, "{several:?}");
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let limit = raise_limit();
    let now = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    assert_eq!(now.current, now.maximum);
    assert_eq!(limit, now.maximum.unwrap_or(super::UNLIMITED));
}
