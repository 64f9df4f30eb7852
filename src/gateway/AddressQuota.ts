/** The number of running queries of each client address. */
import * as RemoteAddress from "../net/RemoteAddress.ts"
import * as GatewayError from "./GatewayError.ts"

export class AddressQuota {
  private readonly most: number
  private readonly counts = new Map<string, number>()

  constructor(most: number) {
    this.most = most
  }

  /**
   * Takes a place for a query of a client, whose address is absent on a Unix socket. Returns the function
   * that releases it.
   */
  admit(client: string | undefined): (() => void) | GatewayError.GatewayError {
    if (this.most === Number.POSITIVE_INFINITY) return nothing
    const address = client === undefined ? RemoteAddress.unix : RemoteAddress.of(client)
    if ((this.counts.get(address) ?? 0) >= this.most) {
      return GatewayError.make(
        "overloaded",
        `${this.most} queries of this address are running or waiting (httpMaxQueriesPerAddress)`,
        { retryable: true }
      )
    }
    this.add(address, 1)
    return () => this.add(address, -1)
  }

  private add(address: string, change: number): void {
    const count = (this.counts.get(address) ?? 0) + change
    if (count === 0) this.counts.delete(address)
    else this.counts.set(address, count)
  }
}

const nothing = (): void => {}
