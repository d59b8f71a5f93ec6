//! When the queue is asked, and the Capacity Block whose end a message announces.

use super::*;

const URL: &str = "[queue]\nurl = \"https://sqs.eu-west-1.amazonaws.com/123456789012/workers-termination\"";

#[test]
fn asked_at_a_notice_by_default() {
    assert_eq!(config(URL, &[]).queue.listen, Listen::AtNotice);
    assert_eq!(config("[queue]\nlisten = \"at_notice\"", &[]).queue.url, None);
}

#[test]
fn listening_needs_a_queue() {
    assert_eq!(
        problems("[queue]\nlisten = \"always\"", &[]),
        "test.toml:2: `queue.listen` has no effect without `queue.url`; set that, or remove it"
    );
}

#[test]
fn a_capacity_reservation_needs_listening() {
    let reservation = "[lifecycle]\ncapacity_reservation = \"cr-0123456789abcdef0\"";
    assert_eq!(
        problems(&format!("{URL}\n{reservation}"), &[]),
        "test.toml:4: `lifecycle.capacity_reservation` has no effect without `queue.listen = \"always\"`; set that, or remove it"
    );
    assert_eq!(
        problems(&format!("{URL}\nlisten = \"always\"\n{}", reservation.replace("cr-", "i-")), &[]),
        "test.toml:5: `lifecycle.capacity_reservation` is \"i-0123456789abcdef0\"; expected the id of a capacity reservation (`cr-` \
         and 8 to 17 hexadecimal digits)"
    );
}
