/**
 * The data that the browser keeps: the tabs of this window, and for the next visit the tabs, history and
 * theme. Without permission to keep data, or without space, the page keeps it as long as it is open.
 */

/** `sessionStorage` belongs to a window and survives a reload of it. */
type Place = "localStorage" | "sessionStorage"

/** The data that the browser did not take. */
const untaken = new Map<string, string>()

const read = (place: Place, key: string): unknown => {
  try {
    const name = `dataconn.${key}`
    const text = untaken.get(`${place}.${key}`) ?? globalThis[place].getItem(name)
    return text === null ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

const write = (place: Place, key: string, value: unknown): void => {
  const text = JSON.stringify(value)
  try {
    globalThis[place].setItem(`dataconn.${key}`, text)
    untaken.delete(`${place}.${key}`)
  } catch {
    untaken.set(`${place}.${key}`, text)
  }
}

/** The elements of a stored list with these texts: other versions of this page may have stored something else. */
const list = <A>(value: unknown, texts: ReadonlyArray<keyof A & string>): ReadonlyArray<A> =>
  (Array.isArray(value) ? value : []).filter((element) =>
    texts.every((name) => typeof element?.[name] === "string")
  )

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)

export interface SavedTab {
  readonly name: string
  readonly text: string
}

export interface Entry {
  readonly query: string
  readonly at: number
  readonly rows: number
  readonly elapsedMs: number
  readonly outcome: string
}

const maxEntries = 200
/** Longer queries are not kept. */
const maxLength = 100_000

/** A new window begins with the tabs that were saved last by any window. */
export const tabs = {
  read: (): ReadonlyArray<SavedTab> =>
    list(read("sessionStorage", "tabs") ?? read("localStorage", "tabs"), ["name", "text"]),
  write: (tabs: ReadonlyArray<SavedTab>): void => {
    const saved = tabs.map(({ name, text }) => ({ name, text: text.slice(0, maxLength) }))
    write("sessionStorage", "tabs", saved)
    write("localStorage", "tabs", saved)
  }
}

/** All windows add to the same history. */
export const history = {
  read: (): ReadonlyArray<Entry> => list(read("localStorage", "history"), ["query", "outcome"]),
  add: (entry: Entry): void => {
    if (entry.query.length > maxLength) return
    write("localStorage", "history", [entry, ...history.read()].slice(0, maxEntries))
  },
  clear: (): void => write("localStorage", "history", [])
}

export const theme = {
  read: (): string => text(read("localStorage", "theme")) ?? "",
  write: (value: string): void => write("localStorage", "theme", value)
}

/** Kept only while the page is open. */
export const token = {
  read: (): string | undefined => text(read("sessionStorage", "token")),
  write: (value: string): void => write("sessionStorage", "token", value)
}
