// Fetches a path from one trustless gateway with @helia/verified-fetch, to stdout.
// usage: node fetch.mjs GATEWAY /ipfs/CID/PATH
import { createVerifiedFetch } from '@helia/verified-fetch'

const [gateway, path] = process.argv.slice(2)
const fetch = await createVerifiedFetch({
  gateways: [gateway], routers: [], allowInsecure: true, allowLocal: true
})
const response = await fetch(`ipfs://${path.replace('/ipfs/', '')}`)
if (!response.ok) throw new Error(`${response.status} ${response.statusText}`)
process.stdout.write(new Uint8Array(await response.arrayBuffer()), () => process.exit(0))
