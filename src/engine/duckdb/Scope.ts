/**
 * Names that are known in a part of a text.
 */

/** The names of a scope and of its enclosing scopes. */
export class Scope<A> {
  private readonly names = new Map<string, A>()
  private readonly log: Array<readonly [string, A | undefined]> = []

  get(name: string): A | undefined {
    return this.names.get(name)
  }

  set(name: string, value: A): void {
    this.log.push([name, this.names.get(name)])
    this.names.set(name, value)
  }

  get mark(): number {
    return this.log.length
  }

  /** Forgets the names set since a mark. */
  leave(mark: number): void {
    while (this.log.length > mark) {
      const [name, before] = this.log.pop() as readonly [string, A | undefined]
      if (before === undefined) this.names.delete(name)
      else this.names.set(name, before)
    }
  }
}
