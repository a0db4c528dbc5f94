internal import CMongoc
import PerennialConnections

/// Where a MongoDB server is, and how to use it, from libmongoc's own URL with Perennial's options in it.
struct MongoAddress: Sendable {
    /// For errors and logs: without options and password.
    let name: String
    /// For libmongoc: without Perennial's own options, with the password.
    private let text: String
    /// The database that everything lies in. Default: `perennial`.
    let database: String
    /// How long connecting, and one call, may take. Default: 1 second.
    let timeout: Duration
    private let options: Set<String>

    /// - Throws: ``EngineURLError``.
    init(_ text: String) throws(EngineURLError) { try self.init(EngineURL(text)) }

    /// - Throws: ``EngineURLError``.
    init(_ whole: EngineURL) throws(EngineURLError) {
        let bare = whole.without(options: Set(whole.options.map(\.name)))
        name = bare.description
        guard whole.scheme == "mongodb" || whole.scheme == "mongodb+srv" else {
            throw EngineURLError("\(name): this is no address of a MongoDB server; write mongodb://HOST/DATABASE")
        }
        database = whole.path.isEmpty ? "perennial" : whole.path
        guard database.utf8.count < 64,
            !database.unicodeScalars.contains(where: { "/\\. \"$*<>:|?\0".unicodeScalars.contains($0) })
        else {
            throw EngineURLError(
                "\(name): “\(database)” can't be the name of a database; write mongodb://HOST/DATABASE")
        }
        timeout = try whole.seconds("timeout") ?? .seconds(1)
        try Self.checkOptions(whole)
        let theirs = whole.without(options: ["timeout"])
        // libmongoc wants the slash also where no database follows.
        self.text =
            bare.unredacted + (whole.path.isEmpty ? "/" : "") + theirs.unredacted.dropFirst(bare.unredacted.count)
        options = Set(theirs.options.map { $0.name.lowercased() })
        mongoc_uri_destroy(try makeURI(patience: timeout))
    }

    /// libmongoc only warns of what it does not know, and goes on without it.
    private static func checkOptions(_ url: EngineURL) throws(EngineURLError) {
        let lower = url.lowercasingOptionNames()
        let unknown = lower.options.map(\.name).filter { name in
            !(mongoc_uri_option_is_int32(name) || mongoc_uri_option_is_int64(name) || mongoc_uri_option_is_bool(name)
                || mongoc_uri_option_is_utf8(name))
        }
        // Names in the order in which they are likely to be meant.
        let common = [
            "timeout", "replicaset", "authsource", "authmechanism", "authmechanismproperties", "tls", "tlscafile",
            "tlscertificatekeyfile", "tlscertificatekeyfilepassword", "tlsinsecure", "ssl", "readpreference",
            "readpreferencetags", "readconcernlevel", "w", "wtimeoutms", "journal", "safe", "compressors", "appname",
            "directconnection", "loadbalanced", "connecttimeoutms", "sockettimeoutms", "serverselectiontimeoutms",
            "retryreads", "retrywrites", "maxpoolsize",
        ]
        guard unknown.contains(where: { !common.contains($0) }) else { return }
        try lower.checkOptions(common + lower.options.map(\.name).filter { !unknown.contains($0) })
    }

    /// libmongoc's form of it, to be destroyed.
    /// - Parameter patience: how long one call may take.
    func makeURI(patience: Duration) throws(EngineURLError) -> OpaquePointer {
        MongoConnection.start
        var error = bson_error_t()
        guard let uri = mongoc_uri_new_with_error(text, &error) else {
            throw EngineURLError("\(name): \(String(cString: perennial_error_message(&error)))")
        }
        func milliseconds(_ duration: Duration) -> Int32 {
            Int32(clamping: duration / .milliseconds(1) < 1 ? 1 : Int64(duration / .milliseconds(1)))
        }
        mongoc_uri_set_option_as_int32(uri, "connecttimeoutms", milliseconds(timeout))
        mongoc_uri_set_option_as_int32(uri, "serverselectiontimeoutms", milliseconds(timeout))
        mongoc_uri_set_option_as_int32(uri, "sockettimeoutms", milliseconds(patience))
        // The lanes repeat what may be repeated, and a server that stands still costs one time-out, not two.
        for option in ["retryreads", "retrywrites"] where !options.contains(option) {
            mongoc_uri_set_option_as_bool(uri, option, false)
        }
        if !options.contains("w"), let concern = mongoc_write_concern_new() {
            mongoc_write_concern_set_wmajority(concern, milliseconds(patience))
            mongoc_uri_set_write_concern(uri, concern)
            mongoc_write_concern_destroy(concern)
        }
        if !options.contains("appname") { mongoc_uri_set_appname(uri, "perennial") }
        return uri
    }
}
