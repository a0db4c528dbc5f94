internal import CPostgres
import PerennialConnections

/// Where a PostgreSQL server is, and how to use it, from libpq's own URL with Perennial's options in it.
struct PostgresAddress: Sendable {
    /// Without Perennial's own options.
    let url: EngineURL
    /// The schema that everything lies in. Default: `perennial`.
    let schema: String
    /// Whether the tables are made without a write-ahead log: faster, and empty after a crash of the server. Default: `false`.
    let isUnlogged: Bool
    /// How long connecting, and one call, may take. Default: 1 second.
    let timeout: Duration

    /// - Throws: ``EngineURLError``.
    init(_ text: String) throws(EngineURLError) { try self.init(EngineURL(text)) }

    /// - Throws: ``EngineURLError``.
    init(_ whole: EngineURL) throws(EngineURLError) {
        guard whole.scheme == "postgres" || whole.scheme == "postgresql" else {
            throw EngineURLError("\(whole): this is no address of a PostgreSQL server; write postgres://HOST/DATABASE")
        }
        schema = whole.option("schema") ?? "perennial"
        guard !schema.isEmpty, schema.utf8.count <= 40,
            schema.unicodeScalars.allSatisfy({ $0 == "_" || ("a"..."z").contains($0) || ("0"..."9").contains($0) })
        else {
            throw EngineURLError("\(whole): the schema must be 1 to 40 small letters, digits or _, like schema=app")
        }
        switch whole.option("tables") {
        case nil, "logged": isUnlogged = false
        case "unlogged": isUnlogged = true
        case let other?: throw EngineURLError("\(whole): tables is “\(other)”; write logged or unlogged")
        }
        timeout = try whole.seconds("timeout") ?? .seconds(1)
        try whole.checkOptions(["schema", "tables", "timeout"] + Self.clientOptions)
        url = whole.without(options: ["schema", "tables", "timeout"])
    }

    /// What libpq knows, and `ssl=true`, which it reads in addresses alone.
    private static let clientOptions: [String] = {
        guard let options = PQconndefaults() else { return [] }
        defer { PQconninfoFree(options) }
        var names = ["ssl"]
        var option = options
        while let keyword = option.pointee.keyword {
            names.append(String(cString: keyword))
            option += 1
        }
        return names
    }()
}
