/**
 * Tests that take longer than a check of a change may: `npm run test:long` runs them too.
 */

/** Whether they run. */
export const isLong = process.env["DATACONN_TEST_LONG"] === "true"

/** All of them, or else one of so many, spread evenly. */
export const some = <A>(all: ReadonlyArray<A>, oneOf: number): ReadonlyArray<A> =>
  isLong ? all : all.filter((_, index) => index % oneOf === 0)
