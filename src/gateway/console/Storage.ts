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

/** Returns whether the browser took it. */
const write = (place: Place, key: string, value: unknown): boolean => {
  const text = JSON.stringify(value)
  try {
    globalThis[place].setItem(`dataconn.${key}`, text)
    untaken.delete(`${place}.${key}`)
    return true
  } catch {
    untaken.set(`${place}.${key}`, text)
    return false
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
  readonly isSelected?: boolean
}

export interface Entry {
  readonly query: string
  readonly at: number
  readonly rows: number
  readonly elapsedMs: number
  readonly outcome: string
}

const maxEntries = 200
/** Longer queries are not in the history. */
const maxLength = 100_000
/** The maximum length of all queries of the history, which shares the browser's space with the tabs. */
const maxHistory = 1_000_000

/** The newest entries. */
const newest = (entries: ReadonlyArray<Entry>): ReadonlyArray<Entry> => {
  let length = 0
  return entries.slice(0, maxEntries).filter(({ query }) => {
    length += query.length
    return length <= maxHistory
  })
}

/** The text of a tab whose own text has not been kept: a part of it could run as another statement. */
const notKept = "-- The browser had no space for the text of this tab."

/** Writes the tabs, without the longest texts where there is no space. Returns which texts are kept. */
const writeTabs = (place: Place, tabs: ReadonlyArray<SavedTab>): ReadonlyArray<boolean> => {
  const kept = tabs.map(() => true)
  const longest = tabs.map((_, at) => at).sort((a, b) => textOf(tabs, b).length - textOf(tabs, a).length)
  const fits = (): boolean =>
    write(
      place,
      "tabs",
      tabs.map((tab, at) => (kept[at] === true ? tab : { ...tab, text: notKept }))
    )
  while (!fits()) {
    const at = longest.shift()
    if (at === undefined) break
    kept[at] = false
  }
  return kept
}

const textOf = (tabs: ReadonlyArray<SavedTab>, at: number): string => tabs[at]?.text ?? ""

/** A new window begins with the tabs that were saved last by any window. */
export const tabs = {
  read: (): ReadonlyArray<SavedTab> =>
    list(read("sessionStorage", "tabs") ?? read("localStorage", "tabs"), ["name", "text"]),
  /** Returns for each tab whether a reload of the window keeps its text. */
  write: (tabs: ReadonlyArray<SavedTab>): ReadonlyArray<boolean> => {
    writeTabs("localStorage", tabs)
    return writeTabs("sessionStorage", tabs)
  }
}

/** All windows add to the same history. */
export const history = {
  read: (): ReadonlyArray<Entry> => list(read("localStorage", "history"), ["query", "outcome"]),
  add: (entry: Entry): void => {
    if (entry.query.length > maxLength) return
    write("localStorage", "history", newest([entry, ...history.read()]))
  },
  clear: (): void => void write("localStorage", "history", [])
}

export const theme = {
  read: (): string => text(read("localStorage", "theme")) ?? "",
  write: (value: string): void => void write("localStorage", "theme", value)
}

/** Kept only while the page is open. */
export const token = {
  read: (): string | undefined => text(read("sessionStorage", "token")),
  write: (value: string): void => void write("sessionStorage", "token", value)
}
