/**
 * A small made-up market, for trials: 100 000 trades and 100 000 quotes of one day.
 *
 * Deterministic: every number is computed by integer arithmetic from the row number, so that examples and
 * tests can quote results.
 */

/** Rows of each of the two tables. */
export const rows = 100_000

/** A pseudo-random number from 0 to 2³²-1, from a row number and a salt. */
const mixed = (row: string, salt: number): string => {
  const first = `((${row} + ${salt}) * 2654435761 % 4294967296)::UBIGINT`
  return `(xor(${first}, ${first} >> 15) * 2246822519::UBIGINT % 4294967296)`
}

const symbols = ["ABC", "DEF", "GHI", "JKL", "MNO", "PQR", "STU", "VWX"]

/**
 * Row `i` is about one symbol, at a time that advances by less than half a second, at a price that moves by
 * at most two cents from the symbol's previous one.
 */
const walk = (salt: number): string => `
  SELECT
    i,
    TIMESTAMP '2024-01-02 09:30:00' + to_microseconds((i * 234000 + ${mixed("i", salt)} % 200000)::BIGINT) AS ts,
    [${symbols.map((symbol) => `'${symbol}'`).join(", ")}][(${mixed("i", salt + 1)} % ${symbols.length})::BIGINT + 1] AS symbol,
    10000 + sum((${mixed("i", salt + 2)} >> 7)::BIGINT % 5 - 2) OVER (PARTITION BY symbol ORDER BY i) AS cents
  FROM range(${rows}) AS numbers(i)`

const decimal = (cents: string): string => `((${cents}) / 100)::DECIMAL(9,2)`

/** Creates `trades` and `quotes`. */
export const statements: ReadonlyArray<string> = [
  `CREATE TABLE trades AS
  SELECT
    ts,
    symbol,
    ${decimal("cents")} AS price,
    (1 + ${mixed("i", 3)} % 500)::INTEGER AS size,
    CASE WHEN ${mixed("i", 4)} % 2 = 0 THEN 'buy' ELSE 'sell' END AS side
  FROM (${walk(0)})
  ORDER BY i`,
  `CREATE TABLE quotes AS
  SELECT
    ts,
    symbol,
    ${decimal("cents - spread")} AS bid,
    ${decimal("cents + spread")} AS ask,
    (100 * (1 + ${mixed("i", 13)} % 20))::INTEGER AS bid_size,
    (100 * (1 + ${mixed("i", 14)} % 20))::INTEGER AS ask_size
  FROM (SELECT *, 1 + ${mixed("i", 15)} % 4 AS spread FROM (${walk(10)}))
  ORDER BY i`
]
