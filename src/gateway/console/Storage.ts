/**
 * The data that the browser keeps for the next visit: tabs, history, theme. The console also works without
 * it.
 */

const read = <A>(store: Storage, key: string, fallback: A): A => {
  try {
    const text = store.getItem(`dataconn.${key}`)
    return text === null ? fallback : (JSON.parse(text) as A)
  } catch {
    return fallback
  }
}

const write = (store: Storage, key: string, value: unknown): void => {
  try {
    store.setItem(`dataconn.${key}`, JSON.stringify(value))
  } catch {
    // The store is full, or not allowed.
  }
}

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

export const tabs = {
  read: (): ReadonlyArray<SavedTab> => read<ReadonlyArray<SavedTab>>(localStorage, "tabs", []),
  write: (saved: ReadonlyArray<SavedTab>): void =>
    write(
      localStorage,
      "tabs",
      saved.map(({ name, text }) => ({ name, text: text.slice(0, maxLength) }))
    )
}

export const history = {
  read: (): ReadonlyArray<Entry> => read<ReadonlyArray<Entry>>(localStorage, "history", []),
  add: (entry: Entry): void => {
    if (entry.query.length > maxLength) return
    write(localStorage, "history", [entry, ...history.read()].slice(0, maxEntries))
  },
  clear: (): void => write(localStorage, "history", [])
}

export const theme = {
  read: (): string => read(localStorage, "theme", ""),
  write: (value: string): void => write(localStorage, "theme", value)
}

/** Kept only while the page is open. */
export const token = {
  read: (): string | undefined => read<string | undefined>(sessionStorage, "token", undefined),
  write: (value: string): void => write(sessionStorage, "token", value)
}
