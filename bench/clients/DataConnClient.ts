/**
 * DataConn's own client, as one uses it that has done with each chunk before the next.
 */
import * as DataConnClients from "../support/DataConnClients.ts"

await DataConnClients.main("released")
