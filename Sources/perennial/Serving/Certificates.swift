import PerennialGateway

/// What is to be shown to clients; `nil`: nothing, for TLS is not spoken.
func serverCertificate(_ chain: Found<String>?, key: Found<String>?) throws(Failure) -> ServerCertificate? {
    try certificate(chain, Known.tlsCert, key, Known.tlsKey) { chain, key throws(CertificateError) in
        try ServerCertificate(certificateFile: chain, keyFile: key)
    }
}

/// What is to be shown to an origin; `nil`: nothing.
func clientCertificate(_ chain: Found<String>?, key: Found<String>?) throws(Failure) -> ClientCertificate? {
    try certificate(chain, Known.originCert, key, Known.originKey) { chain, key throws(CertificateError) in
        try ClientCertificate(certificateFile: chain, keyFile: key)
    }
}

/// A certificate and its key, which are given together or not at all.
private func certificate<Certificate>(
    _ chain: Found<String>?, _ chainSetting: Setting<String>, _ key: Found<String>?, _ keySetting: Setting<String>,
    read: (_ chain: String, _ key: String) throws(CertificateError) -> Certificate
) throws(Failure) -> Certificate? {
    switch (chain, key) {
    case (nil, nil): return nil
    case (let chain?, let key?):
        do throws(CertificateError) {
            return try read(chain.value, key.value)
        } catch {
            throw Failure(error, in: error.description.contains(key.value) ? key : chain)
        }
    case (let chain?, nil):
        throw Failure(
            chain.place.code, "\(chain.name) needs the certificate's key; give it with --\(keySetting.name) FILE")
    case (nil, let key?):
        throw Failure(
            key.place.code, "\(key.name) needs the key's certificate; give it with --\(chainSetting.name) FILE")
    }
}

/// The certificates that an origin's must come from.
func authorities(_ file: Found<String>) throws(Failure) -> TrustedAuthorities {
    do throws(CertificateError) {
        return try TrustedAuthorities(file: file.value)
    } catch {
        throw Failure(error, in: file)
    }
}

extension Failure {
    fileprivate init(_ error: CertificateError, in setting: Found<String>) {
        self.init(error.kind == .unreadable ? .noInput : .data, "\(setting.name): \(error)")
    }
}
