/**
 * The tabs: each has a text and the last query that was run from it.
 */
import type { Run } from "./Run.ts"

export interface Tab {
  name: string
  text: string
  /** Whether a reload of the page keeps the text. */
  isKept: boolean
  run: Run | undefined
  /** The text of the tab before the run's own. */
  before: string
  /** The notice beside the run. */
  notice: string
  /** Ends the running download. */
  download: AbortController | undefined
  /** The reason why a download failed. */
  downloadError: string
}

export interface Listener {
  readonly selected: (tab: Tab) => void
  readonly changed: (tabs: ReadonlyArray<Tab>) => void
}

export class Tabs {
  private readonly parent: HTMLElement
  private readonly listener: Listener
  private readonly all: Array<Tab> = []
  private at = 0

  constructor(parent: HTMLElement, listener: Listener) {
    this.parent = parent
    this.listener = listener
  }

  get current(): Tab {
    return this.all[this.at] as Tab
  }

  open(text: string, name = this.nextName): void {
    this.all.push({
      name,
      text,
      isKept: true,
      run: undefined,
      before: "",
      notice: "",
      download: undefined,
      downloadError: ""
    })
    this.select(this.all.length - 1)
  }

  private get nextName(): string {
    const names = new Set(this.all.map(({ name }) => name))
    let number = 1
    while (names.has(`Query ${number}`)) number++
    return `Query ${number}`
  }

  select(index: number): void {
    if (this.all[index] === undefined) return
    this.at = index
    this.draw()
    this.listener.selected(this.current)
  }

  close(index = this.at): void {
    const [closed] = this.all.splice(index, 1)
    closed?.run?.close()
    closed?.download?.abort()
    if (this.all.length === 0) {
      this.open("")
      return
    }
    this.select(Math.min(this.at > index ? this.at - 1 : this.at, this.all.length - 1))
  }

  private get selected(): HTMLElement | null {
    return this.parent.querySelector('[aria-selected="true"]')
  }

  private draw(): void {
    this.parent.replaceChildren(
      ...this.all.map((tab, index) => this.tab(tab, index)),
      this.button("+", "New tab (Alt+N)", () => this.open(""))
    )
    this.selected?.parentElement?.scrollIntoView({ block: "nearest", inline: "nearest" })
    this.listener.changed(this.all)
  }

  private tab(tab: Tab, index: number): HTMLElement {
    const holder = document.createElement("span")
    const isSelected = index === this.at
    const name = this.button(tab.name, tab.name, () => this.select(index))
    name.setAttribute("role", "tab")
    name.setAttribute("aria-selected", String(isSelected))
    name.setAttribute("aria-controls", "panel")
    name.tabIndex = isSelected ? 0 : -1
    name.addEventListener("keydown", ({ key }) => {
      const step = key === "ArrowRight" ? 1 : key === "ArrowLeft" ? -1 : 0
      if (step === 0) return
      this.select((index + step + this.all.length) % this.all.length)
      this.selected?.focus()
    })
    holder.append(
      name,
      this.button("×", `Close ${tab.name} (Alt+W)`, () => this.close(index))
    )
    return holder
  }

  private button(text: string, label: string, onClick: () => void): HTMLButtonElement {
    const button = document.createElement("button")
    button.type = "button"
    button.textContent = text
    button.title = label
    button.setAttribute("aria-label", label)
    button.addEventListener("click", onClick)
    return button
  }
}
