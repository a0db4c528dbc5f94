/// A piece of Lua that runs in the server, as one step.
package struct RedisScript: Sendable {
    let name: String
    let source: String

    package init(_ name: String, _ source: String) {
        self.name = name
        self.source = source
    }
}
