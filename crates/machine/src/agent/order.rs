//! Numbered orders to drain.

use super::super::effect::DrainOrder;

/// The number of an order to one agent, within one run of the daemon. A later order has a larger number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OrderNumber(u64);

/// The latest order to one agent.
#[derive(Debug, Default)]
pub(super) struct Orders {
    latest: Option<(OrderNumber, DrainOrder)>,
}

impl Orders {
    /// Numbers an order. An order equal to the latest one has the same number.
    pub fn number(&mut self, order: DrainOrder) -> OrderNumber {
        match self.latest {
            Some((number, latest)) if latest == order => number,
            Some((OrderNumber(number), _)) => self.give(OrderNumber(number + 1), order),
            None => self.give(OrderNumber(1), order),
        }
    }

    fn give(&mut self, number: OrderNumber, order: DrainOrder) -> OrderNumber {
        self.latest = Some((number, order));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::notice::Reason;
    use super::super::super::time::Time;
    use super::*;

    #[test]
    fn a_different_order_gets_a_larger_number() {
        let order = |ms| DrainOrder { reason: Reason::Operator, deadline: Time::from_unix_ms(ms) };
        let mut orders = Orders::default();
        let first = orders.number(order(1));
        assert_eq!(orders.number(order(1)), first);
        let second = orders.number(order(2));
        assert!(second > first);
        assert!(orders.number(order(1)) > second, "going back to an earlier deadline is a new order");
    }
}
