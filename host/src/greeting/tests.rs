#![expect(clippy::unwrap_used, reason = "tests")]

use super::text;

fn greeting(address: &str, base_url: Option<&str>, host_name: Option<&str>) -> String {
    let address = address.parse::<std::net::SocketAddr>().unwrap().into();
    text(&address, false, base_url, host_name)
}

/// Fault 23: nobody connects to 0.0.0.0.
#[test]
fn a_listener_on_all_addresses_is_named_by_the_machine() {
    for address in ["0.0.0.0:3000", "[::]:3000"] {
        let named = greeting(address, None, Some("build-7"));
        assert!(named.contains("ACTIONS_RESULTS_URL=http://build-7:3000/ "), "{named}");
        assert!(named.contains("any other name or address"), "{named}");
        let unnamed = greeting(address, None, None);
        assert!(
            unnamed.contains("ACTIONS_RESULTS_URL=http://<name or address of this machine>:3000/ "),
            "{unnamed}"
        );
        let configured = greeting(address, Some("https://cache.example"), Some("build-7"));
        assert!(configured.contains("ACTIONS_RESULTS_URL=https://cache.example/ "), "{configured}");
    }
}

#[test]
fn a_listener_on_one_address_is_named_by_it() {
    let text = greeting("127.0.0.1:3000", None, Some("build-7"));
    assert!(
        text.contains("ACTIONS_RESULTS_URL=http://127.0.0.1:3000/ ") && !text.contains("all addresses"),
        "{text}"
    );
}
