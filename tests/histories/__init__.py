"""Histories of three accounts, and what they come to: rows as a broker reports them, a calculator, and keys worked out by hand.

Nothing here but `player` imports the library. The rows of a file are in the order of report, so a row may tell of an earlier time than the row
before it. The columns:

- `time`: when it happened, in UTC.
- `kind`: `open` (the account and what it begins with), `order`, `fill`, `bust`, `correct`, `cancel`, `mark`, `split`, or
  the kind of a movement of cash.
- `id`: of an order, an execution or a movement; `corrects` is the execution that a correction replaces.
- `order`, `symbol`, `side`, `quantity`, `price`: of an execution. An order with a price is a limit order. A conversion
  buys or sells `quantity` of the currency `symbol`; a split gives `quantity` shares for one; a dividend and a funding
  payment name what was held.
- `fee`, `fee_currency`: the commission; a rebate is negative.
- `rate`: of funding and of withheld tax.
- `amount`, `currency`: what a movement does to the cash.
"""
