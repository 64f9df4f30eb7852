/** The console: tabs with an editor, and the rows of the last run. */
import "uplot/dist/uPlot.min.css"
import "./console.css"
import * as Api from "./Api.ts"
import * as Catalog from "./Catalog.ts"
import * as CellDialog from "./CellDialog.ts"
import { Chart } from "./Chart.ts"
import { Editor } from "./Editor.ts"
import * as Format from "./Format.ts"
import { Grid, type Source } from "./Grid.ts"
import * as Positions from "./Positions.ts"
import { Run } from "./Run.ts"
import * as Storage from "./Storage.ts"
import type { Target } from "./Tables.ts"
import { type Tab, Tabs } from "./Tabs.ts"

const byId = <E extends HTMLElement>(id: string): E => document.getElementById(id) as E

const runButton = byId<HTMLButtonElement>("run")
const cancelButton = byId<HTMLButtonElement>("cancel")
const pauseButton = byId<HTMLButtonElement>("pause")
const rowsButton = byId<HTMLButtonElement>("show-rows")
const chartButton = byId<HTMLButtonElement>("show-chart")
const downloadBox = byId<HTMLSelectElement>("download")
const targetBox = byId<HTMLSelectElement>("target")
const statusLine = byId("status")
const errorBox = byId("error")

const welcome = "-- Ctrl+Enter runs the statement at the cursor, or what is selected.\nSELECT 42 AS answer"

const grid = new Grid(byId("rows"), (cell) => CellDialog.show(byId("cell"), cell))
const chart = new Chart(byId("chart"))
let targets: ReadonlyArray<Target> = []
let isChart = false
/** The run whose rows the grid shows, with the columns that it had. */
let shown: { readonly run: Run | undefined; readonly columns: Run["columns"] } = {
  run: undefined,
  columns: []
}

const editor = new Editor(byId("editor"), {
  run: () => run(),
  changed: (text) => {
    tabs.current.text = text
    save()
  }
})

let allTabs: ReadonlyArray<Tab> = []
const save = (): void => {
  const kept = Storage.tabs.write(
    allTabs.map((tab) => ({ name: tab.name, text: tab.text, isSelected: tab === tabs.current }))
  )
  allTabs.forEach((tab, at) => {
    const wasKept = tab.isKept
    tab.isKept = kept[at] === true
    if (tab.isKept !== wasKept) update(tab)
  })
}

const tabs = new Tabs(byId("tabs"), {
  selected: (tab) => {
    editor.open(tab.text)
    update(tab)
    showErrors(tab)
    markError(tab)
  },
  changed: (all) => {
    allTabs = all
    save()
  }
})

const sourceOf = (run: Run | undefined): Source | undefined =>
  run === undefined || run.columns.length === 0
    ? undefined
    : {
        columns: run.columns,
        count: () => run.progress.kept,
        rows: (from, to) => run.rows(from, to)
      }

/** Shows the state of the query of the current tab. */
const update = (tab: Tab): void => {
  if (tab !== tabs.current) return
  const { run } = tab
  const isRunning = run?.isRunning === true
  runButton.disabled = isRunning
  cancelButton.disabled = !isRunning && tab.download === undefined
  pauseButton.disabled = !isRunning
  downloadBox.disabled = run === undefined || tab.download !== undefined
  pauseButton.setAttribute("aria-pressed", String(run?.isPaused === true))
  pauseButton.textContent = run?.isPaused === true ? "Go on" : "Pause"
  statusLine.textContent = [
    run === undefined
      ? "Write a query and run it with Ctrl+Enter."
      : Format.status(run.progress, run.outcome, run.isPaused),
    tab.notice,
    run?.trouble,
    tab.isKept ? "" : "This text is lost at a reload: the browser has no space for it"
  ]
    .filter(Boolean)
    .join(" · ")
  if (shown.run !== run || shown.columns !== (run?.columns ?? shown.columns)) {
    shown = { run, columns: run?.columns ?? [] }
    grid.show(sourceOf(run))
  } else grid.grow()
  if (isChart) chart.show(run)
}

/** Shows a notice beside the query of a tab, until the next notice. */
const notify = (tab: Tab, notice: string): void => {
  tab.notice = notice
  update(tab)
}

/** The place of a run's error in the text of the tab up to the end of the run's text. */
const placeOf = ({ before, run }: Tab): { readonly text: string; readonly offset: number } | undefined =>
  run?.outcome?._tag !== "Failed" || run.outcome.error.position === undefined
    ? undefined
    : {
        text: before + run.query.query,
        offset: before.length + Positions.toOffset(run.query.query, run.outcome.error.position)
      }

const showErrors = (tab: Tab): void => {
  const { downloadError, run } = tab
  const place = placeOf(tab)
  const errors = downloadError === "" ? [] : [downloadError]
  if (run?.outcome?._tag === "Failed") {
    const { code, message } = run.outcome.error
    const at = place === undefined ? "" : ` at ${Positions.describe(place.text, place.offset)}`
    errors.unshift(`${code}${at}: ${message}`)
  }
  errorBox.hidden = errors.length === 0
  errorBox.textContent = errors.join("\n")
}

/** Marks the error's place, unless the text has changed since. */
const markError = (tab: Tab): void => {
  const place = placeOf(tab)
  const message = tab.run?.outcome?._tag === "Failed" ? tab.run.outcome.error.message : ""
  editor.mark(place !== undefined && tab.text.startsWith(place.text) ? place.offset : undefined, message)
}

const target = (): string | undefined => (targetBox.value === "" ? undefined : targetBox.value)

const stillRunning = "Still running: Escape cancels it, Alt+N opens another tab"

const run = (): void => {
  const tab = tabs.current
  const { from, text } = editor.chosen
  if (tab.run?.isRunning === true) {
    notify(tab, stillRunning)
    return
  }
  if (text.trim() === "") {
    notify(tab, "There is nothing to run")
    return
  }
  tab.run?.close()
  let isEnded = false
  const started: Run = new Run({ query: text, target: target(), token: Storage.token.read() }, () => {
    if (tab.run !== started) return
    if (started.outcome !== undefined && !isEnded) {
      isEnded = true
      ended(tab, started)
    }
    update(tab)
  })
  tab.run = started
  tab.before = tab.text.slice(0, from)
  tab.notice = ""
  tab.downloadError = ""
  showErrors(tab)
  markError(tab)
  update(tab)
}

/** Cancels the query, or else the download. */
const cancel = (): void => {
  const { download, run } = tabs.current
  if (run?.isRunning === true) run.cancel()
  else download?.abort()
}

const ended = (tab: Tab, { outcome, progress, query }: Run): void => {
  if (outcome === undefined) return
  Storage.history.add({
    query: query.query,
    at: Date.now(),
    rows: progress.rows,
    elapsedMs: progress.elapsedMs,
    outcome: outcome._tag
  })
  if (tab.notice === stillRunning) tab.notice = ""
  if (tab === tabs.current) {
    showErrors(tab)
    markError(tab)
  }
  if (outcome._tag === "Failed" && outcome.error.status === 401) askForToken()
}

const showView = (wantsChart: boolean): void => {
  isChart = wantsChart
  byId("rows").hidden = isChart
  byId("chart").hidden = !isChart
  rowsButton.setAttribute("aria-pressed", String(!isChart))
  chartButton.setAttribute("aria-pressed", String(isChart))
  if (isChart) chart.show(tabs.current.run)
  else grid.grow()
}

const askForToken = (): void => {
  const dialog = byId<HTMLDialogElement>("token")
  const input = byId<HTMLInputElement>("token-text")
  if (dialog.open) return
  const why = Storage.token.read() === undefined ? "wants a token" : "refused the token"
  byId("token-why").textContent = `This gateway ${why}.`
  byId("catalog").textContent = `The gateway ${why}.`
  input.value = ""
  dialog.returnValue = ""
  dialog.showModal()
  dialog.addEventListener(
    "close",
    () => {
      if (input.value === "" || dialog.returnValue !== "use") return
      Storage.token.write(input.value)
      void loadCatalog()
    },
    { once: true }
  )
}

const showTarget = (): void => {
  const chosen = targets.find(({ name }) => name === targetBox.value) ?? targets[0]
  Catalog.show(byId("catalog"), chosen, (text) => editor.insert(text))
  editor.complete(chosen?.schemas ?? [])
}

const loadCatalog = async (): Promise<void> => {
  try {
    targets = await Api.catalog()
    targetBox.replaceChildren(...targets.map(({ name }) => new Option(name, name)))
    showTarget()
  } catch (error) {
    if (error instanceof Api.Unauthenticated) askForToken()
    else byId("catalog").textContent = error instanceof Error ? error.message : String(error)
  }
}

const showHistory = (): void => {
  const dialog = byId<HTMLDialogElement>("history")
  const list = document.createElement("ul")
  list.className = "entries"
  for (const entry of Storage.history.read()) {
    const item = document.createElement("li")
    const button = document.createElement("button")
    const code = document.createElement("code")
    const small = document.createElement("small")
    code.textContent = entry.query
    small.textContent = `${new Date(entry.at).toLocaleString()} · ${entry.outcome} · ${Format.counted(entry.rows, "row")} · ${Format.millis(entry.elapsedMs)}`
    button.type = "button"
    button.append(code, small)
    button.addEventListener("click", () => {
      dialog.close()
      tabs.open(entry.query)
      editor.focus()
    })
    item.append(button)
    list.append(item)
  }
  const title = document.createElement("h2")
  title.textContent = list.childElementCount === 0 ? "Nothing has been run yet" : "History"
  const clear = document.createElement("button")
  clear.textContent = "Clear"
  clear.addEventListener("click", () => {
    Storage.history.clear()
    dialog.close()
  })
  const close = document.createElement("button")
  close.textContent = "Close"
  close.addEventListener("click", () => dialog.close())
  dialog.replaceChildren(title, list, clear, " ", close)
  dialog.showModal()
}

const download = async (): Promise<void> => {
  const tab = tabs.current
  const { run } = tab
  const format = downloadBox.value
  downloadBox.value = ""
  if (format === "" || run === undefined || tab.download !== undefined) return
  const download = new AbortController()
  tab.download = download
  const tell = (notice: string, error: string): void => {
    tab.downloadError = error
    notify(tab, notice)
    if (tab === tabs.current) showErrors(tab)
  }
  tell(`Running again to download as ${format}…`, "")
  try {
    await Api.download(run.query, format, download.signal)
    tab.download = undefined
    tell("Ran again and downloaded", "")
  } catch (error) {
    tab.download = undefined
    if (download.signal.aborted) {
      tell("The download was cancelled", "")
      return
    }
    const message = error instanceof Error ? error.message : String(error)
    tell(
      "The download failed",
      `Not downloaded. A download runs the query again, read-only, and that failed: ${message}`
    )
    if (error instanceof Api.Unauthenticated) askForToken()
  }
}

const switchTheme = (): void => {
  const isDark =
    getComputedStyle(document.documentElement).colorScheme === "dark" ||
    (document.documentElement.dataset["theme"] === undefined &&
      matchMedia("(prefers-color-scheme: dark)").matches)
  document.documentElement.dataset["theme"] = isDark ? "light" : "dark"
  Storage.theme.write(document.documentElement.dataset["theme"])
  chart.recolor()
}

const showCatalog = (isShown: boolean): void => {
  byId("catalog").hidden = !isShown
  byId("toggle-catalog").setAttribute("aria-expanded", String(isShown))
}

const shortcuts: Readonly<Record<string, () => void>> = {
  KeyN: () => {
    tabs.open("")
    editor.focus()
  },
  KeyW: () => tabs.close(),
  KeyE: () => editor.focus(),
  KeyR: () => grid.focus(),
  KeyH: showHistory
}

/** What Escape closes first: dialogs, and in the editor the completions and the search. */
const closable = "dialog[open], .cm-editor:focus-within :is(.cm-tooltip-autocomplete, .cm-search)"

// Before anything of it is closed.
addEventListener(
  "keydown",
  ({ isComposing, key }) => {
    if (key === "Escape" && !isComposing && document.querySelector(closable) === null) cancel()
  },
  { capture: true }
)
addEventListener("keydown", (event) => {
  if (!event.altKey || event.ctrlKey || event.metaKey) return
  const number = /^Digit([1-9])$/.exec(event.code)?.[1]
  const action = number === undefined ? shortcuts[event.code] : () => tabs.select(Number(number) - 1)
  if (action === undefined) return
  event.preventDefault()
  action()
})

runButton.addEventListener("click", run)
cancelButton.addEventListener("click", cancel)
pauseButton.addEventListener("click", () => tabs.current.run?.pause(!tabs.current.run.isPaused))
rowsButton.addEventListener("click", () => showView(false))
chartButton.addEventListener("click", () => showView(true))
downloadBox.addEventListener("change", () => void download())
targetBox.addEventListener("change", showTarget)
byId("theme").addEventListener("click", switchTheme)
byId("toggle-catalog").addEventListener("click", () => showCatalog(byId("catalog").hidden !== false))
byId("open-history").addEventListener("click", showHistory)
byId("open-help").addEventListener("click", () => byId<HTMLDialogElement>("help").showModal())

const savedTheme = Storage.theme.read()
if (savedTheme !== "") document.documentElement.dataset["theme"] = savedTheme
const narrow = matchMedia("(max-width: 640px)")
narrow.addEventListener("change", () => showCatalog(!narrow.matches))
showCatalog(!narrow.matches)
const saved = Storage.tabs.read()
if (saved.length === 0) tabs.open(welcome)
for (const { name, text } of saved) tabs.open(text, name)
tabs.select(saved.findIndex(({ isSelected }) => isSelected === true))
editor.focus()
void loadCatalog()
