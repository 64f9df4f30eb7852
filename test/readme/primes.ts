import { QueryApi } from "dataconn"
import { Effect, Stream } from "effect"

const isPrime = (n: number): boolean => {
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false
  return n > 1
}

/** The next prime after a number: a loop that nothing interrupts. */
const after = (n: number): number => {
  let next = n + 1
  while (!isPrime(next)) next++
  return next
}

/** The engine of one thread: gives out the primes from a number on, without end. */
export const make = () =>
  Effect.succeed(
    QueryApi.makeEngine({
      formats: ["text/csv"],
      run: ({ query }) => {
        const from = Number(/^PRIMES FROM (\d{1,15})$/.exec(query)?.[1] ?? Number.NaN)
        if (Number.isNaN(from))
          return Effect.fail(QueryApi.queryError("syntax_error", "Ask for PRIMES FROM n"))
        return Effect.succeed({
          columns: [{ name: "prime", type: "BIGINT" }],
          chunks: Stream.encodeText(Stream.map(Stream.iterate(after(from - 1), after), (n) => `${n}\r\n`))
        })
      }
    })
  )
