/** Names that a user may have misspelt. */

/** The edit distance of two names. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1)
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}

/** The known name that an unknown one may have been meant for. */
export const nearest = (name: string, known: Iterable<string>): string | undefined => {
  const given = name.slice(0, 64).toLowerCase()
  return Array.from(known, (known) => ({ known, changes: distance(known.toLowerCase(), given) }))
    .filter(({ changes }) => changes <= 2)
    .sort((a, b) => a.changes - b.changes)[0]?.known
}

/** The nearest name as the end of an error: `; did you mean …?` */
export const hint = (name: string, known: Iterable<string>): string => {
  const near = nearest(name, known)
  return near === undefined ? "" : `; did you mean ${near}?`
}
