import PeykModel

/// What all see and only administrators write: it is retired (`archived`), never deleted while referred to.
extension FieldSales {
    static let territory = Table(
        "territory", .reference,
        fields: [
            field("name", .text, .lww, "Name", "نام", required: true),
            field("name_fa", .text, .lww, "Persian name", "نام فارسی"),
            field("code", .text, .lww, "Code", "کد"),
            archived,
        ],
        labels: labels("Territory", "منطقه"))

    /// People. What they may do stands in the server's own tables, never in a row that replicas hold.
    static let user = Table(
        "user", .reference,
        fields: [
            field("name", .text, .lww, "Name", "نام", required: true),
            field("name_fa", .text, .lww, "Persian name", "نام فارسی"),
            field("email", .text, .lww, "Email", "رایانامه"),
            field("title", .text, .lww, "Title", "سمت"),
            reference("territory_id", to: "territory", .lww, "Territory", "منطقه"),
            reference("manager_id", to: "user", .lww, "Manager", "مدیر", hard: false),
            archived,
        ],
        labels: labels("User", "کاربر"))

    static let pipeline = Table(
        "pipeline", .reference,
        fields: [
            field("name", .text, .lww, "Name", "نام", required: true),
            field("name_fa", .text, .lww, "Persian name", "نام فارسی"),
            field("position", .integer, .lww, "Position", "ترتیب", default: .integer(0)),
            archived,
        ],
        labels: labels("Pipeline", "قیف فروش"))

    static let stage = Table(
        "stage", .reference,
        fields: [
            field("name", .text, .lww, "Name", "نام", required: true),
            field("name_fa", .text, .lww, "Persian name", "نام فارسی"),
            reference("pipeline_id", to: "pipeline", .lww, "Pipeline", "قیف فروش", required: true),
            field("position", .integer, .lww, "Position", "ترتیب", required: true),
            field("kind", .enumeration(["open", "won", "lost"]), .lww, "Kind", "نوع", required: true),
            field("probability", .integer, .lww, "Probability (%)", "احتمال (٪)", required: true),
            field("rotten_days", .integer, .lww, "Stuck after days", "راکد پس از چند روز"),
            field(
                "forecast_category", .enumeration(["omitted", "pipeline", "best_case", "commit", "closed"]), .lww,
                "Forecast category", "دسته پیش‌بینی"),
            archived,
        ],
        labels: labels("Stage", "مرحله"))

    static let product = Table(
        "product", .reference,
        fields: [
            field("name", .text, .lww, "Name", "نام", required: true),
            field("name_fa", .text, .lww, "Persian name", "نام فارسی"),
            field("code", .text, .lww, "Code", "کد"),
            field("series", .text, .lww, "Series", "سری"),
        ] + money("price", currency: "price_currency", .lww, "List price", "قیمت") + [archived],
        labels: labels("Product", "محصول"))
}
