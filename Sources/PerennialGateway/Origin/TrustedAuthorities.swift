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
