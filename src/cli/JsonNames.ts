/**
 * Names in a text of JSON, of which a parser takes the last where two members have one.
 */

const token = /"(?:[^"\\]|\\.)*"|[{}[\]:]/gs

/** A name that two members of one object have, in a text that is JSON. */
export const repeated = (json: string): string | undefined => {
  /** The names so far of each object that is open; lists have none. */
  const open: Array<Set<string>> = []
  let text: string | undefined
  for (const [found] of json.matchAll(token)) {
    if (found.startsWith('"')) text = found
    else if (found === "{" || found === "[") open.push(new Set())
    else if (found === "}" || found === "]") open.pop()
    else if (text !== undefined) {
      const name: string = JSON.parse(text)
      const names = open.at(-1)
      if (names?.has(name)) return name
      names?.add(name)
    }
  }
  return undefined
}
