/**
 * A bounded queue that is fair between addresses: round robin among them, and in the order of arrival within
 * each.
 *
 * A full queue follows the policy known as longest queue drop (LQD): an arrival of an address with fewer
 * waiting items replaces the newest item of the address with most. One address may fill the whole queue while
 * no others come, and keeps no more than a fair share of it when others do.
 */

/** The result of an arrival. */
export type Entered<A> =
  | { readonly _tag: "Waiting" }
  /** The arrival waits, and this item has lost its place. */
  | { readonly _tag: "Displaced"; readonly item: A }
  /** There is no place, and no address has more places than the arrival's own. */
  | { readonly _tag: "Full" }

const isWaiting: Entered<never> = { _tag: "Waiting" }
const isFull: Entered<never> = { _tag: "Full" }

const newest = <A>(items: ReadonlySet<A>): A | undefined => {
  let last: A | undefined
  for (const item of items) last = item
  return last
}

export class FairQueue<A> {
  /** The number of items that may wait; items beyond a lowered capacity stay. */
  capacity: number
  /** The items of each address that has any; the first address has the next turn. */
  private readonly queues = new Map<string, Set<A>>()
  private readonly addresses = new Map<A, string>()

  constructor(capacity: number) {
    this.capacity = capacity
  }

  get size(): number {
    return this.addresses.size
  }

  /** The number of waiting items of an address. */
  count(address: string): number {
    return this.queues.get(address)?.size ?? 0
  }

  /** Puts an item at the end of its address's queue. An item must not be in the queue already. */
  enter(address: string, item: A): Entered<A> {
    if (this.size < this.capacity) {
      this.add(address, item)
      return isWaiting
    }
    const displaced = this.displace(this.count(address))
    if (displaced === undefined) return isFull
    this.add(address, item)
    return { _tag: "Displaced", item: displaced }
  }

  /** Removes the item whose turn it is, and gives the next turn to another address. */
  next(): A | undefined {
    for (const [address, items] of this.queues) {
      for (const item of items) {
        this.delete(item)
        // Behind all other addresses.
        if (this.queues.delete(address) && items.size > 0) this.queues.set(address, items)
        return item
      }
    }
    return undefined
  }

  /** Removes an item. False if it does not wait. */
  delete(item: A): boolean {
    const address = this.addresses.get(item)
    if (address === undefined) return false
    this.addresses.delete(item)
    const items = this.queues.get(address)
    items?.delete(item)
    if (items?.size === 0) this.queues.delete(address)
    return true
  }

  private add(address: string, item: A): void {
    const items = this.queues.get(address)
    if (items === undefined) this.queues.set(address, new Set([item]))
    else items.add(item)
    this.addresses.set(item, address)
  }

  /** Removes the newest item of the address with most items, if these are more than `count`. */
  private displace(count: number): A | undefined {
    let longest: ReadonlySet<A> | undefined
    for (const items of this.queues.values()) {
      if (items.size > (longest?.size ?? count)) longest = items
    }
    const item = longest === undefined ? undefined : newest(longest)
    if (item !== undefined) this.delete(item)
    return item
  }
}
