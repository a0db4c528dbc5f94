internal import NIOSSL

/// Certificates that an origin's certificate must come from: those of a private authority, or the origin's own.
public struct TrustedAuthorities: Hashable, Sendable {
    let certificates: [NIOSSLCertificate]

    /// - Parameter file: one or more certificates in PEM form.
    /// - Throws: ``CertificateError`` when it can't be read or has none.
    public init(file: String) throws(CertificateError) {
        certificates = try PerennialGateway.certificates(inFile: file)
    }
}

/// A certificate with its key that shows an origin who asks (TLS client authentication).
public struct ClientCertificate: Hashable, Sendable {
    let chain: [NIOSSLCertificate]
    let key: NIOSSLPrivateKey

    /// - Parameters:
    ///   - certificateFile: the certificate in PEM form, and behind it those it comes from.
    ///   - keyFile: its private key in PEM form, not encrypted.
    /// - Throws: ``CertificateError`` when one can't be read or is something else.
    public init(certificateFile: String, keyFile: String) throws(CertificateError) {
        chain = try certificates(inFile: certificateFile)
        key = try privateKey(inFile: keyFile)
    }
}
