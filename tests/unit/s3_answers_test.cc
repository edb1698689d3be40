// What an S3 server says, from servers that are right, sloppy and hostile.

#include "io/store/s3_answers.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {
namespace {

using Leaves = std::vector<std::pair<std::string, std::string>>;

std::optional<Leaves> leaves_of(std::string_view xml) {
  Leaves leaves;
  const bool whole = for_each_element(
      xml, [&](std::string_view path, const std::string& text) { leaves.emplace_back(path, text); });
  return whole ? std::optional(leaves) : std::nullopt;
}

const std::string kList =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><!-- <Contents> -->"
    "<Contents><Key>a&amp;b</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified><Size>12</Size>"
    "<Owner><ID>1</ID></Owner></Contents>"
    "<Contents><Size>0</Size><LastModified>1970-01-01T00:00:01Z</LastModified><Key>c</Key></Contents>"
    "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>";

TEST(S3Answers, ElementsComeWithTheirPathsAndTexts) {
  EXPECT_EQ(leaves_of("<a><b x='>'>1</b><c/><n:d>&lt;&#65;&#x42;&#xe4;&quot;&apos;&gt;</n:d></a>"),
            (Leaves{{"a/b", "1"}, {"a/c", ""}, {"a/d", "<AB\xc3\xa4\"'>"}, {"a", ""}}));
  EXPECT_EQ(leaves_of("\xEF\xBB\xBF<?xml?><!-- - --> <a>x<![CDATA[<&>]]>y</a>\n"), (Leaves{{"a", "x<&>y"}}));
  EXPECT_EQ(leaves_of("<a b=\"1\" />"), (Leaves{{"a", ""}}));
  EXPECT_EQ(leaves_of("<a ></a >"), (Leaves{{"a", ""}}));
}

TEST(S3Answers, WhatIsNoXmlIsToldSo) {
  for (const std::string xml : {"",
                                " ",
                                "x",
                                "<",
                                "<>",
                                "</a>",
                                "<a>",
                                "<a></b>",
                                "<a></a></a>",
                                "<a/><b/>",
                                "<a></a>x",
                                "<a>&none;</a>",
                                "<a>&#x110000;</a>",
                                "<a>&#;</a>",
                                "<a>&</a>",
                                "<a>&amp</a>",
                                "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
                                "<a><!--</a>",
                                "<a><![CDATA[</a>",
                                "<![CDATA[x]]>",
                                "<?xml",
                                "<a b='></a>",
                                "<a",
                                "{\"json\": 1}",
                                "<html><br></html>"}) {
    EXPECT_EQ(leaves_of(xml), std::nullopt) << xml;
  }
  std::string deep;
  for (int i = 0; i < 33; ++i) deep += "<a>";
  for (int i = 0; i < 33; ++i) deep += "</a>";
  EXPECT_EQ(leaves_of(deep), std::nullopt);
  EXPECT_NE(leaves_of(deep.substr(3, deep.size() - 7)), std::nullopt);
  EXPECT_EQ(leaves_of("<" + std::string(300, 'a') + "/>"), std::nullopt);
}

TEST(S3Answers, AList) {
  const std::optional<S3ListPage> page = parse_list(kList);
  ASSERT_TRUE(page);
  ASSERT_EQ(page->objects.size(), 2U);
  EXPECT_EQ(page->objects[0].key, "a&b");
  EXPECT_EQ(page->objects[0].bytes, 12U);
  EXPECT_EQ(page->objects[0].modified.time_since_epoch(), std::chrono::seconds(1255369830));
  EXPECT_EQ(page->objects[1].key, "c");
  EXPECT_TRUE(page->truncated);
  EXPECT_EQ(page->next_token, "t");
}

TEST(S3Answers, KeysMayBeEncoded) {
  std::string list = kList;
  list.replace(list.find("a&amp;b"), 7, "a%0A+%2B");
  EXPECT_EQ(parse_list(list)->objects[0].key, "a%0A+%2B");
  list.replace(list.find("<IsTruncated>"), 0, "<EncodingType>url</EncodingType>");
  EXPECT_EQ(parse_list(list)->objects[0].key, "a\n +");
  list.replace(list.find("%0A"), 3, "%0");
  EXPECT_EQ(parse_list(list), std::nullopt) << "no key with half of a byte";
}

// gc decides by these: there must be no guess.
TEST(S3Answers, AListThatIsNotWholeIsNoList) {
  for (std::size_t size = 0; size < kList.size(); ++size) {
    EXPECT_EQ(parse_list(kList.substr(0, size)), std::nullopt) << size;
  }
  for (const std::string part :
       {"<Size>12</Size>", "<Key>a&amp;b</Key>", "<LastModified>2009-10-12T17:50:30.000Z</LastModified>"}) {
    std::string list = kList;
    list.erase(list.find(part), part.size());
    EXPECT_EQ(parse_list(list), std::nullopt) << part;
  }
  for (const std::string size : {"", "-1", "1 ", "0x1", "18446744073709551616"}) {
    std::string list = kList;
    list.replace(list.find("<Size>12") + 6, 2, size);
    EXPECT_EQ(parse_list(list), std::nullopt) << size;
  }
  EXPECT_EQ(parse_list("<Error><Code>SlowDown</Code></Error>"), std::nullopt);
}

TEST(S3Answers, Uploads) {
  const std::optional<S3UploadPage> page = parse_uploads(
      "<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>a&lt;</UploadId>"
      "<Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload><IsTruncated>true</IsTruncated>"
      "<NextKeyMarker>m</NextKeyMarker><NextUploadIdMarker>n</NextUploadIdMarker></"
      "ListMultipartUploadsResult>");
  ASSERT_TRUE(page);
  ASSERT_EQ(page->uploads.size(), 1U);
  EXPECT_EQ(page->uploads[0].key, "k");
  EXPECT_EQ(page->uploads[0].id, "a<");
  EXPECT_TRUE(page->truncated);
  EXPECT_EQ(page->next_key, "m");
  EXPECT_EQ(page->next_id, "n");
  EXPECT_EQ(
      parse_uploads("<ListMultipartUploadsResult><Upload><Key>k</Key></Upload></ListMultipartUploadsResult>"),
      std::nullopt);
  EXPECT_EQ(parse_upload_id(
                "<InitiateMultipartUploadResult><UploadId>x</UploadId></InitiateMultipartUploadResult>"),
            "x");
  EXPECT_EQ(parse_upload_id("<InitiateMultipartUploadResult></InitiateMultipartUploadResult>"), std::nullopt);
}

TEST(S3Answers, AProblemHoldsNothingThatDoesNotPrint) {
  const S3Problem problem = parse_problem(
      "<Error><Code>PermanentRedirect</Code><Message>a\x1b[31m\nb</Message><Region>eu-west-1</Region></"
      "Error>");
  EXPECT_EQ(problem.code, "PermanentRedirect");
  EXPECT_EQ(problem.message, "a [31m b");
  EXPECT_EQ(problem.region, "eu-west-1");
  EXPECT_EQ(parse_problem("<Error><Code>a b\n</Code><Region>x/y</Region></Error>").code, "");
  EXPECT_EQ(parse_problem("<Error><Region>x/y</Region></Error>").region, "");
  EXPECT_EQ(parse_problem("<Error><Code>" + std::string(1000, 'a') + "</Code></Error>").code.size(), 64U);
  EXPECT_EQ(parse_problem("<html>").code, "");
}

TEST(S3Answers, Times) {
  const auto seconds = [](const auto& time) { return std::chrono::system_clock::to_time_t(time.value()); };
  EXPECT_EQ(seconds(parse_iso_time("2009-10-12T17:50:30.123456Z")), 1255369830);
  EXPECT_EQ(seconds(parse_http_time("Mon, 12 Oct 2009 17:50:30 GMT")), 1255369830);
  for (const std::string text :
       {"", "2009-10-12", "2009-10-12T17:50:30", "2009-13-12T17:50:30Z", "2009-10-12 17:50:30Z",
        "2009-10-12T17:50:30+01:00", "2009-10-12T25:50:30Z", "aaaa-10-12T17:50:30Z", "1969-10-12T17:50:30Z",
        "2263-10-12T17:50:30Z", "9999-12-31T23:59:59Z"}) {
    EXPECT_EQ(parse_iso_time(text), std::nullopt) << text;
  }
  for (const std::string text :
       {"", "Mon, 12 Foo 2009 17:50:30 GMT", "Mon, 12 Oct 2009 17:50:30 CET", "Mon, xx Oct 2009 17:50:30 GMT",
        "Monday, 12-Oct-09 17:50:30 GMT", "Mon, 12 anF 2009 17:50:30 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"}) {
    EXPECT_EQ(parse_http_time(text), std::nullopt) << text;
  }
}

TEST(S3Answers, AnEtagIsAnMd5OrSomethingElse) {
  const std::string md5 = "d41d8cd98f00b204e9800998ecf8427e";
  EXPECT_EQ(md5_of_etag("\"" + md5 + "\""), md5);
  EXPECT_EQ(md5_of_etag(md5), md5);
  EXPECT_EQ(md5_of_etag("\"D41D8CD98F00B204E9800998ECF8427E\""), md5);
  EXPECT_EQ(md5_of_etag("\"" + md5 + "-2\""), std::nullopt);
  EXPECT_EQ(md5_of_etag("W/\"" + md5 + "\""), std::nullopt);
  EXPECT_EQ(md5_of_etag(""), std::nullopt);
}

}  // namespace
}  // namespace sluice
