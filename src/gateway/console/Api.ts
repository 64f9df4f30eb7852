/** The console's requests to the gateway besides queries. */
import type { Query } from "./Messages.ts"
import * as Storage from "./Storage.ts"
import type { Target } from "./Tables.ts"

/** The gateway requires a token, or a different one. */
export class Unauthenticated extends Error {}

export const headers = (): Record<string, string> => {
  const token = Storage.token.read()
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

/** Every target with its tables. */
export const catalog = async (): Promise<ReadonlyArray<Target>> => {
  const response = await fetch("/v1/catalog", { headers: headers() })
  if (response.status === 401) throw new Unauthenticated()
  if (!response.ok) throw new Error(`The catalog could not be read (${response.status})`)
  const { targets } = (await response.json()) as { readonly targets: ReadonlyArray<Target> }
  return targets
}

/** Formats whose extension is another one than their name: `.arrow` is Arrow's file, and this its stream. */
const extensions: Readonly<Record<string, string>> = { arrow: "arrows" }

/** The gateway's reason why it has broken a response off: the browser has none. */
const reasonOf = async (response: Response): Promise<Error | undefined> => {
  try {
    const id = response.headers.get("x-dataconn-query-id") ?? ""
    const verdict = await fetch(`/v1/queries/${encodeURIComponent(id)}`, { headers: headers() })
    const { error } = (await verdict.json()) as { readonly error?: { readonly message: string } }
    return error === undefined ? undefined : new Error(error.message)
  } catch {
    return undefined
  }
}

/**
 * Runs a query again, as one that changes nothing, and downloads its whole result as a file. Rejects if it
 * breaks off, or is aborted.
 */
export const download = async (
  { query, target }: Query,
  format: string,
  signal: AbortSignal
): Promise<void> => {
  const response = await fetch("/v1/query", {
    method: "POST",
    signal,
    headers: { "content-type": "application/json", ...headers() },
    body: JSON.stringify({ version: "v1", query, format, target, readOnly: true })
  })
  if (response.status === 401) throw new Unauthenticated("The gateway wants a token")
  if (!response.ok) {
    const { detail } = (await response.json().catch(() => ({}))) as { readonly detail?: string }
    throw new Error(detail ?? `The gateway answered ${response.status}`)
  }
  const blob = await response.blob().catch(async (error) => {
    throw (await reasonOf(response)) ?? error
  })
  const url = URL.createObjectURL(blob)
  const link = document.createElement("a")
  link.href = url
  link.download = `result.${extensions[format] ?? format}`
  link.click()
  // The browser has read the file by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
