internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOSSL

/// What the listener speaks TLS with: one certificate, or several of which the client's wish chooses (SNI, RFC 6066 §3),
/// and perhaps those that the certificates of clients must come from.
final class ServerTLS: Sendable {
    let certificates: [ServerCertificate]
    let clientAuthorities: TrustedAuthorities?
    private let state: NIOLockedValueBox<NIOSSLContext>

    /// - Parameter certificates: at least one; the first is for clients who ask for none of them.
    /// - Throws: ``CertificateError`` when they can't be used.
    init(_ certificates: [ServerCertificate], clientAuthorities: TrustedAuthorities?) throws(CertificateError) {
        self.certificates = certificates
        self.clientAuthorities = clientAuthorities
        state = NIOLockedValueBox(try Self.context(certificates, clientAuthorities))
    }

    /// For new connections.
    var context: NIOSSLContext { state.withLockedValue { $0 } }

    /// Takes what the certificates are now.
    func update() throws(CertificateError) {
        let context = try Self.context(certificates, clientAuthorities)
        state.withLockedValue { $0 = context }
    }

    private static func context(
        _ certificates: [ServerCertificate], _ clientAuthorities: TrustedAuthorities?
    ) throws(CertificateError) -> NIOSSLContext {
        let shown = certificates.map(\.shown)
        if shown.count == 1, clientAuthorities == nil { return shown[0].context }
        var settings = shown[0].settings
        if shown.count > 1 {
            settings.sslContextCallback = { hello, promise in
                let chosen = hello.serverHostname.flatMap { place(of: $0, in: shown.map(\.names)) } ?? 0
                promise.succeed(shown[chosen].choice)
            }
        }
        if let clientAuthorities {
            settings.certificateVerification = .noHostnameVerification
            settings.trustRoots = .certificates(clientAuthorities.certificates)
        }
        do {
            return try NIOSSLContext(configuration: settings)
        } catch {
            throw CertificateError(.unfit, "the certificates can't be used together: \(error)")
        }
    }
}

/// Which of several certificates is for a host: the first that has its name, else the first with a wildcard for it (RFC
/// 9525 §6.3); `nil`: none.
/// - Parameters:
///   - host: as a client names it.
///   - names: of each certificate, in lower case.
func place(of host: String, in names: [[String]]) -> Int? {
    let host = host.lowercased()
    if let place = names.firstIndex(where: { $0.contains(host) }) { return place }
    guard let dot = host.firstIndex(of: "."), dot > host.startIndex else { return nil }
    let wildcard = "*" + host[dot...]
    return names.firstIndex { $0.contains(wildcard) }
}

/// Why a client's certificate was not taken, for the log; `nil`: the handshake failed for another reason.
func refusalOfClient(_ error: any Error) -> String? {
    let text = String(describing: error)
    if text.contains("PEER_DID_NOT_RETURN_A_CERTIFICATE") { return "it showed no certificate" }
    if text.contains("CERTIFICATE_VERIFY_FAILED") || text.contains("unableToValidateCertificate") {
        return "its certificate is out of date, or comes from none of those that are trusted"
    }
    return nil
}
