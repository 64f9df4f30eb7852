/**
 * Ways to make a scenario of clients and their requests smaller. Each has a name that the command line takes: `latency`
 * takes the network's latency from all clients and `latency:2` from the second, `client:3` takes the third client out,
 * and `query:201` a request. `chunks` and `sizes` halve, and can be said again.
 */

export type Change<A> = (a: A) => A

interface Request {
  readonly query: { readonly id: number }
}

interface Client<R extends Request> {
  readonly id: number
  readonly requests: ReadonlyArray<R>
}

interface Scenario<C extends Client<Request>> {
  readonly clients: ReadonlyArray<C>
}

type ClientOf<S> = S extends Scenario<infer C> ? C : never
type RequestOf<S> = ClientOf<S> extends Client<infer R> ? R : never

type Changes<A> = Readonly<Record<string, Change<A>>>

/** Something else that a scenario has several of, by their ids. */
export interface Part<S> {
  readonly ids: (scenario: S) => ReadonlyArray<number>
  readonly without: (scenario: S, isMeant: (id: number) => boolean) => S
}

export interface Options<S> {
  readonly ofAll: Changes<S>
  readonly ofClient: Changes<ClientOf<S>>
  readonly ofRequest: Changes<RequestOf<S>>
  readonly parts?: Readonly<Record<string, Part<S>>>
}

export interface Reductions<S> {
  /** The scenario without what is named. */
  readonly apply: (scenario: S, without: ReadonlyArray<string>) => S
  /** What a scenario could be without, what makes it smallest first. */
  readonly candidates: (scenario: S) => ReadonlyArray<string>
}

export const make = <S extends Scenario<Client<Request>>>(options: Options<S>): Reductions<S> => {
  const { ofAll, ofClient, ofRequest } = options
  const clientsOf = ({ clients }: S) => clients as ReadonlyArray<ClientOf<S>>
  const requestsOf = ({ requests }: ClientOf<S>) => requests as ReadonlyArray<RequestOf<S>>
  const clients = (scenario: S, change: (client: ClientOf<S>) => ReadonlyArray<ClientOf<S>>): S => ({
    ...scenario,
    clients: clientsOf(scenario).flatMap(change)
  })
  const requests = (scenario: S, change: (request: RequestOf<S>) => ReadonlyArray<RequestOf<S>>): S =>
    clients(scenario, (client) => [{ ...client, requests: requestsOf(client).flatMap(change) }])

  const parts: Readonly<Record<string, Part<S>>> = {
    client: {
      ids: (scenario) => clientsOf(scenario).map(({ id }) => id),
      without: (scenario, isMeant) => clients(scenario, (client) => (isMeant(client.id) ? [] : [client]))
    },
    ...options.parts,
    query: {
      ids: (scenario) =>
        clientsOf(scenario).flatMap((client) => requestsOf(client).map(({ query }) => query.id)),
      without: (scenario, isMeant) =>
        requests(scenario, (request) => (isMeant(request.query.id) ? [] : [request]))
    }
  }

  const applyOne = (scenario: S, reduction: string): S => {
    const [name = "", id] = reduction.split(":")
    const isMeant = (other: number) => id === undefined || Number(id) === other
    const [part, all, one, request] = [parts[name], ofAll[name], ofClient[name], ofRequest[name]]
    if (part !== undefined) return part.without(scenario, isMeant)
    if (all !== undefined) return all(scenario)
    if (one !== undefined) return clients(scenario, (other) => [isMeant(other.id) ? one(other) : other])
    if (request === undefined) throw new Error(`A scenario has no ${reduction} to be without`)
    return requests(scenario, (other) => [isMeant(other.query.id) ? request(other) : other])
  }

  const each = (changes: object, ids: ReadonlyArray<number>) =>
    Object.keys(changes).flatMap((name) => ids.map((id) => `${name}:${id}`))

  return {
    apply: (scenario, without) => without.reduce(applyOne, scenario),
    candidates: (scenario) => [
      ...Object.entries(parts).flatMap(([name, { ids }]) => ids(scenario).map((id) => `${name}:${id}`)),
      ...[ofAll, ofClient, ofRequest].flatMap(Object.keys),
      ...each(ofClient, parts["client"]?.ids(scenario) ?? []),
      ...each(ofRequest, parts["query"]?.ids(scenario) ?? [])
    ]
  }
}

interface Chunk {
  readonly delay: number
  readonly size: number
}

interface Query {
  readonly initDelay: number
  readonly finalizer: number
  readonly chunks: ReadonlyArray<Chunk>
}

/** A change of a request's query. */
export const query =
  <R extends { readonly query: object }>(change: Change<R["query"]>): Change<R> =>
  (request) => ({ ...request, query: change(request.query) })

/** What any query could be without. */
export const ofQuery = <R extends { readonly query: Query }>(): Changes<R> => ({
  delays: query((all) => ({
    ...all,
    initDelay: 0,
    chunks: all.chunks.map((chunk) => ({ ...chunk, delay: 0 }))
  })),
  finalizers: query((all) => ({ ...all, finalizer: 0 })),
  chunks: query((all) => ({ ...all, chunks: all.chunks.slice(0, Math.floor(all.chunks.length / 2)) })),
  sizes: query((all) => ({
    ...all,
    chunks: all.chunks.map((chunk) => ({ ...chunk, size: Math.floor(chunk.size / 2) }))
  })),
  failures: query((all) => ({ ...all, init: "accept", ending: "complete" }))
})
