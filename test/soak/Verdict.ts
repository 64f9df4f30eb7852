/**
 * What is to be thought of a soak.
 */
import type { Living, Sample } from "./Sample.ts"
import * as Soak from "./Soak.ts"
import * as Trend from "./Trend.ts"

export interface Finding {
  readonly holds: boolean
  readonly text: string
}

const mebi = 2 ** 20

/** What the server holds: by how much it may grow during a load that stays the same, and from rest to rest. */
const memories = [
  { name: "objects", of: (held) => held.heapBytes, underLoad: mebi / 4, atRest: 2 * mebi },
  { name: "buffers", of: (held) => held.externalBytes, underLoad: mebi / 2, atRest: mebi },
  { name: "engine", of: (held) => held.engineBytes, underLoad: 2 * mebi, atRest: 2 * mebi }
] as const satisfies ReadonlyArray<{
  readonly name: string
  readonly of: (held: Soak.Held) => number
  readonly underLoad: number
  readonly atRest: number
}>

/** What is resident at the most: beside what is held, what allocators keep for themselves. */
export const residentBound = 512 * mebi

/** Of fewer moments nothing is said. */
export const leastMoments = 15

/** Until then memory grows because the server has not yet done everything once. */
const warm = (livings: ReadonlyArray<Living>): ReadonlyArray<Living> =>
  livings.slice(Math.floor(livings.length / 4))

const mebibytes = (bytes: number): string => (bytes / mebi).toFixed(2)

const held = ({ after, before, livings }: Soak.Outcome): ReadonlyArray<Finding> => {
  const moments = warm(livings)
  const span = (moments.at(-1)?.seconds ?? 0) - (moments[0]?.seconds ?? 0)
  return memories.map(({ atRest, name, of, underLoad }) => {
    const { highest, lowest, slope } = Trend.of(moments.map((living) => [living.seconds, of(living)]))
    const left = of(after) - of(before)
    const [growth, least, most] = [slope, lowest, highest].map((each) => mebibytes(each * span))
    return {
      holds: (moments.length < leastMoments || lowest * span <= underLoad) && left <= atRest,
      text:
        `${name}: ${mebibytes(of(before))} MiB at rest before, ${mebibytes(of(after))} after ` +
        `(bound ${atRest / mebi} more); under load ` +
        (moments.length < leastMoments
          ? `not judged by ${moments.length} moments`
          : `${growth} MiB more (${least} to ${most}) in ${Math.round(span)} s (bound ${underLoad / mebi})`)
    }
  })
}

const resident = (samples: ReadonlyArray<Sample>): Finding => {
  const most = Math.max(0, ...samples.map(({ residentBytes }) => residentBytes))
  return {
    holds: most <= residentBound,
    text: `resident: ${Math.round(most / mebi)} MiB at the most (bound ${residentBound / mebi})`
  }
}

const left = ({ after, before, leftConnections }: Soak.Outcome): Finding => ({
  holds: Soak.counts.every((name) => after[name] <= before[name]) && leftConnections === 0,
  text:
    Soak.counts.map((name) => `${name} ${before[name]} before, ${after[name]} after`).join("; ") +
    `; connections left: ${leftConnections}`
})

/** Every finding on the outcome; the soak is good if all of them hold. */
export const findings = (outcome: Soak.Outcome): ReadonlyArray<Finding> => {
  const { closings, complaints, exit, places, total } = outcome
  const odd = ["init", "run", "protocol", "unknown"].filter((reason) => closings[reason] !== undefined)
  return [
    ...held(outcome),
    resident(outcome.samples),
    left(outcome),
    {
      holds: places === Soak.maxConcurrentQueries,
      text: `places: ${places} of ${Soak.maxConcurrentQueries} queries can run at a time`
    },
    {
      holds: total.failed === 0 && total.completed > 0,
      text: `results: ${total.completed} whole and right, ${total.failed} unexpected failures`
    },
    ...total.failures.map((text) => ({ holds: false, text: `  ${text}` })),
    {
      holds: odd.length === 0,
      text: `connections ended by: ${Object.entries(closings)
        .map(([reason, count]) => `${reason} ${count}`)
        .join(", ")}`
    },
    {
      holds: exit === 0 && complaints.length === 0,
      text: `the server ended with ${exit} and ${complaints.length} complaints`
    },
    ...complaints.slice(0, 10).map((text) => ({ holds: false, text: `  ${text}` }))
  ]
}
