internal import NIOConcurrencyHelpers
internal import NIOSSL

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A certificate chain and its key, as PEM files that may be replaced while the gateway runs.
///
/// TLS 1.2 and 1.3 are spoken, and HTTP/2 and HTTP/1.1 offered.
public final class ServerCertificate: Sendable {
    public let certificateFile: String
    public let keyFile: String

    /// What is in the files.
    struct Shown: Sendable {
        let settings: TLSConfiguration
        let context: NIOSSLContext
        /// In seconds since 1970.
        let expiry: Int
        /// The names of hosts that it is for, in lower case, wildcards included.
        let names: [String]

        /// For a connection whose client asks for one of the names.
        var choice: NIOSSLContextConfigurationOverride {
            var choice = NIOSSLContextConfigurationOverride()
            choice.certificateChain = settings.certificateChain
            choice.privateKey = settings.privateKey
            return choice
        }
    }

    private struct State {
        var shown: Shown
        /// What the files looked like when they were last looked at.
        var stamps: [FileStamp]
    }

    private let state: NIOLockedValueBox<State>

    /// Reads both files.
    /// - Throws: ``CertificateError`` when one can't be read, is something else, or the two don't belong together.
    public init(certificateFile: String, keyFile: String) throws(CertificateError) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
        // The stamps come first: a file that is replaced meanwhile is read again later.
        let stamps = [FileStamp(certificateFile), FileStamp(keyFile)]
        state = NIOLockedValueBox(State(shown: try Self.load(certificateFile, keyFile), stamps: stamps))
    }

    /// When the certificate expires, in seconds since 1970.
    public var expiry: Int { shown.expiry }

    /// The names of hosts that it is for, in lower case, wildcards (`*.example.com`) included.
    public var names: [String] { shown.names }

    var shown: Shown { state.withLockedValue(\.shown) }
    var context: NIOSSLContext { shown.context }

    /// Reads the files again if they have changed since. New connections get what is in them.
    /// - Returns: whether there was anything new.
    /// - Throws: ``CertificateError`` when the new files are not fit to be used; the old ones are then used further,
    ///   and the files are read again when they have changed once more.
    func reloadIfChanged() throws(CertificateError) -> Bool {
        let stamps = [FileStamp(certificateFile), FileStamp(keyFile)]
        let hasChanged = state.withLockedValue { state in
            defer { state.stamps = stamps }
            return state.stamps != stamps
        }
        guard hasChanged else { return false }
        let shown = try Self.load(certificateFile, keyFile)
        let now = Int(time(nil))
        let isWorse = state.withLockedValue { state in
            if shown.expiry <= now && state.shown.expiry > now { return true }
            state.shown = shown
            return false
        }
        if isWorse { throw CertificateError(.unfit, "the certificate in \(certificateFile) has expired") }
        return true
    }

    private static func load(
        _ certificateFile: String, _ keyFile: String
    ) throws(CertificateError) -> Shown {
        let chain = try certificates(inFile: certificateFile)
        let key = try privateKey(inFile: keyFile)
        var settings = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        settings.minimumTLSVersion = .tlsv12
        settings.applicationProtocols = ["h2", "http/1.1"]
        do {
            return Shown(
                settings: settings, context: try NIOSSLContext(configuration: settings),
                expiry: Int(chain[0].notValidAfter), names: hostNames(of: chain[0]))
        } catch {
            throw CertificateError(
                .unfit,
                "the key in \(keyFile) is not the key of the certificate in \(certificateFile); the server's own certificate must come first there"
            )
        }
    }
}

/// The names of hosts that a certificate is for, in lower case.
private func hostNames(of certificate: NIOSSLCertificate) -> [String] {
    certificate._subjectAlternativeNames().compactMap { name in
        name.nameType == .dnsName
            ? name.contents.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self).lowercased() } : nil
    }
}

/// The certificates in a PEM file; at least one.
func certificates(inFile path: String) throws(CertificateError) -> [NIOSSLCertificate] {
    let bytes = try bytes(ofFile: path)
    guard let certificates = try? NIOSSLCertificate.fromPEMBytes(bytes), !certificates.isEmpty else {
        throw CertificateError(.unfit, "\(path) has no certificate in PEM form that can be read")
    }
    return certificates
}

/// The private key in a PEM file.
func privateKey(inFile path: String) throws(CertificateError) -> NIOSSLPrivateKey {
    let bytes = try bytes(ofFile: path)
    do {
        return try NIOSSLPrivateKey(bytes: bytes, format: .pem)
    } catch {
        throw CertificateError(
            .unfit, "\(path) has no private key in PEM form that can be read; it must not be encrypted")
    }
}

/// Why a certificate or key can't be used.
public struct CertificateError: Error, Hashable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// It is not there, or may not be read.
        case unreadable
        /// It is not what it should be.
        case unfit
    }

    public let kind: Kind
    /// What is wrong with which file, in one line.
    public let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}

/// What changes about a file when it is replaced.
private struct FileStamp: Hashable {
    private var numbers: [Int] = []

    init(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return }
        #if canImport(Darwin)
            let changed = status.st_mtimespec
        #else
            let changed = status.st_mtim
        #endif
        numbers = [
            Int(status.st_dev), Int(truncatingIfNeeded: status.st_ino), Int(status.st_size), Int(changed.tv_sec),
            Int(changed.tv_nsec),
        ]
    }
}

/// No certificate or key is longer.
private let longestFile = 1 << 20

private func bytes(ofFile path: String) throws(CertificateError) -> [UInt8] {
    guard let file = fopen(path, "rb") else {
        throw CertificateError(.unreadable, "can't read \(path): \(String(cString: strerror(errno)))")
    }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: longestFile)
    let count = fread(&bytes, 1, longestFile, file)
    if ferror(file) != 0 {
        throw CertificateError(.unreadable, "can't read \(path): \(String(cString: strerror(errno)))")
    }
    return Array(bytes.prefix(count))
}
