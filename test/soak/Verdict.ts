/**
 * What is to be thought of a soak.
 */
import { type Sample, slopePerHour } from "./Sample.ts"
import type { Outcome } from "./Soak.ts"

export interface Finding {
  readonly holds: boolean
  readonly text: string
}

const mebi = 2 ** 20

/** Growth of memory that is none of a leak's: the heap's own ups and downs over less than an hour. */
export const slopeBound = 48 * mebi

/** What is shorter than this says nothing of growth. */
const leastSeconds = 600

/** Until then memory grows because the server has not yet done everything once. */
const warmUp = (seconds: number): number => Math.max(120, seconds / 4)

const memory = (samples: ReadonlyArray<Sample>): Finding => {
  const seconds = samples.at(-1)?.seconds ?? 0
  const warm = samples.filter((sample) => sample.seconds > warmUp(seconds))
  const { error, slope } = slopePerHour(warm, ({ residentBytes }) => residentBytes)
  if (seconds < leastSeconds)
    return { holds: true, text: `memory: not judged in less than ${leastSeconds} s` }
  const text = `${(slope / mebi).toFixed(1)} ± ${(error / mebi).toFixed(1)} MiB an hour after ${Math.round(warmUp(seconds))} s`
  return { holds: slope - 2 * error <= slopeBound, text: `memory: ${text} (bound ${slopeBound / mebi})` }
}

/** Every finding on the outcome; the soak is good if all of them hold. */
export const findings = (outcome: Outcome): ReadonlyArray<Finding> => {
  const { after, before, closings, complaints, exit, leftConnections, total } = outcome
  const odd = ["init", "run", "protocol", "unknown"].filter((reason) => closings[reason] !== undefined)
  return [
    memory(outcome.samples),
    {
      holds: after.handles <= before.handles && after.threads <= before.threads && leftConnections === 0,
      text:
        `handles: ${before.handles} before, ${after.handles} after; ` +
        `threads: ${before.threads}, ${after.threads}; connections left: ${leftConnections}`
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
