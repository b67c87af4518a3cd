/// What ISO 4217 says about currencies, as far as showing and reading amounts needs it.
public enum Currency {
    /// Decimals of the minor unit. Rials have none here: nobody uses the dinar, and CLDR prints none either.
    public static func scale(_ code: String) -> Int {
        switch code {
        case "IRR", "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV",
            "XAF", "XOF", "XPF":
            0
        case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND": 3
        case "CLF", "UYW": 4
        default: 2
        }
    }

    /// Three capital letters.
    public static func isCode(_ text: String) -> Bool {
        text.utf8.count == 3 && text.utf8.allSatisfy { (0x41...0x5A).contains($0) }
    }

    /// Minor units of a typed amount. Tomans (`IRT`, no ISO code) become rials: 1 toman = 10 rials.
    public static func read(
        _ text: String, currency: String, times factor: Int64 = 1
    ) throws(DecimalNumber.Problem) -> (minorUnits: Int64, currency: String) {
        let number = try DecimalNumber(text)
        if currency == "IRT" {
            let (tens, overflow) = factor.multipliedReportingOverflow(by: 10)
            guard !overflow else { throw .tooLarge(text) }
            return (try number.scaled(by: 0, times: tens), "IRR")
        }
        return (try number.scaled(by: scale(currency), times: factor), currency)
    }

    /// The plain decimal form for machines: 123450 of USD is `1234.50`.
    public static func plain(_ minorUnits: Int64, currency: String) -> String {
        let scale = scale(currency)
        guard scale > 0 else { return String(minorUnits) }
        var digits = String(minorUnits.magnitude)
        digits = String(repeating: "0", count: max(0, scale + 1 - digits.count)) + digits
        let cut = digits.index(digits.endIndex, offsetBy: -scale)
        return (minorUnits < 0 ? "-" : "") + digits[..<cut] + "." + digits[cut...]
    }

    /// How Persian writers name it.
    static func persianName(_ code: String) -> String {
        switch code {
        case "IRR": "ریال"
        case "USD": "دلار"
        case "EUR": "یورو"
        case "AED": "درهم"
        default: code
        }
    }
}
