//! The store on DynamoDB: one table with the keys `pk` and `sk`, both texts.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::RequestId;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use uuid::Uuid;

use super::{Consistency, Listing, Store, StoreError, Stretch};
use crate::cursor::Page;
use crate::model::{Day, Location, Partition, Registration, canonical_uuid, split_sort_key};

/// A query reads at most 1 MB and so may have to be repeated. After so many reads a request answers with what
/// it has and a cursor: a filter that fits nobody must not read a whole day at once.
const MAX_READS: usize = 8;

type Item = HashMap<String, AttributeValue>;

/// The table, and the client that reaches it.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    client: Client,
    table: String,
}

impl DynamoStore {
    /// A store in the table with this name.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Puts an item that is not there yet.
    async fn put_new(&self, item: Item) -> Result<(), StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item.clone()))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match put {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(refused))
                // When an answer is lost the client asks again, and finds its own item: the same in every
                // attribute, under an id made for this request.
                if matches!(refused.err(), PutItemError::ConditionalCheckFailedException(found) if found.item() == Some(&item)) =>
            {
                Ok(())
            }
            Err(error) => Err(failed("PutItem", &error)),
        }
    }

    /// Removes an item; says whether it was there.
    async fn remove(&self, key: Item) -> Result<bool, StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .condition_expression("attribute_exists(pk)")
            .send()
            .await;
        match delete {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(refused))
                if matches!(refused.err(), DeleteItemError::ConditionalCheckFailedException(_)) =>
            {
                Ok(false)
            }
            Err(error) => Err(failed("DeleteItem", &error)),
        }
    }

    /// Reads a page of a partition. `filter` is a filter expression with its values.
    async fn query<T>(
        &self,
        partition: Partition,
        consistency: Consistency,
        filter: Option<(&str, Vec<(&str, AttributeValue)>)>,
        page: &Page,
        read: fn(Item) -> Option<(String, T)>,
    ) -> Result<Listing<T>, StoreError> {
        let mut rows: Vec<(String, T)> = Vec::new();
        let mut start = page.after.as_ref().map(|after| key(partition, after));
        for _ in 0..MAX_READS {
            let mut query = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(consistency == Consistency::Strong)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", text(partition.to_string()))
                .set_exclusive_start_key(start.take());
            // One more than wanted tells whether there is more. A filter counts what it drops, so with one the limit
            // would only make for many small reads.
            if let Some((expression, values)) = &filter {
                query = query.filter_expression(*expression);
                for (name, value) in values {
                    query = query.expression_attribute_values(*name, value.clone());
                }
            } else {
                query = query.limit(i32::try_from(page.limit - rows.len() + 1).unwrap_or(i32::MAX));
            }
            let answer = query.send().await.map_err(|error| failed("Query", &error))?;
            for item in answer.items.unwrap_or_default() {
                rows.push(read(item).ok_or_else(|| StoreError::new("Query", "UnreadableItem"))?);
            }
            start = answer.last_evaluated_key;
            if start.is_none() || rows.len() > page.limit {
                break;
            }
        }
        let next = if rows.len() > page.limit {
            rows.truncate(page.limit);
            rows.last().map(|(sort_key, _)| sort_key.clone())
        } else {
            start.as_ref().and_then(|key| text_of(key, "sk"))
        };
        Ok(Listing { items: rows.into_iter().map(|(_, row)| row).collect(), next })
    }
}

impl Store for DynamoStore {
    async fn locations(&self, page: &Page) -> Result<Listing<Location>, StoreError> {
        self.query(Partition::Locations, Consistency::Eventual, None, page, |item| {
            let location = location_of(&item)?;
            Some((location.id.to_string(), location))
        })
        .await
    }

    async fn location(&self, id: Uuid) -> Result<Option<Location>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key(Partition::Locations, &id.to_string())))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("GetItem", &error))?;
        answer
            .item
            .map(|item| location_of(&item).ok_or_else(|| StoreError::new("GetItem", "UnreadableItem")))
            .transpose()
    }

    async fn add_location(&self, location: &Location) -> Result<(), StoreError> {
        let mut item = key(Partition::Locations, &location.id.to_string());
        item.insert("locationName".to_owned(), text(location.name.clone()));
        self.put_new(item).await
    }

    async fn remove_location(&self, id: Uuid) -> Result<bool, StoreError> {
        self.remove(key(Partition::Locations, &id.to_string())).await
    }

    async fn add_registration(&self, registration: &Registration, expires_at: i64) -> Result<(), StoreError> {
        let mut item = key(Partition::Day(registration.timestamp.day()), &registration.sort_key());
        for (name, value) in [
            ("locationId", registration.location_id.to_string()),
            ("locationName", registration.location_name.clone()),
            ("name", registration.name.clone()),
            ("phoneNumber", registration.phone_number.clone()),
            ("email", registration.email.clone()),
        ] {
            item.insert(name.to_owned(), text(value));
        }
        item.insert("expiresAt".to_owned(), AttributeValue::N(expires_at.to_string()));
        self.put_new(item).await
    }

    async fn registrations(
        &self,
        day: Day,
        location: Option<Uuid>,
        now: i64,
        page: &Page,
    ) -> Result<Listing<Registration>, StoreError> {
        // DynamoDB removes what has expired within days, not seconds: until then it is hidden here.
        let mut expression = "expiresAt > :now";
        let mut values = vec![(":now", AttributeValue::N(now.to_string()))];
        if let Some(location) = location {
            expression = "expiresAt > :now AND locationId = :location";
            values.push((":location", text(location.to_string())));
        }
        self.query(Partition::Day(day), Consistency::Strong, Some((expression, values)), page, |item| {
            let registration = registration_of(&item)?;
            Some((registration.sort_key(), registration))
        })
        .await
    }

    async fn stretch(
        &self,
        stretch: &Stretch,
        consistency: Consistency,
    ) -> Result<Listing<Registration>, StoreError> {
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(consistency == Consistency::Strong)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", text(Partition::Day(stretch.day).to_string()))
            .expression_attribute_values(":from", text(stretch.from.clone()))
            .expression_attribute_values(":to", text(stretch.to.clone()))
            .expression_attribute_values(":now", AttributeValue::N(stretch.now.to_string()));
        let mut filter = "expiresAt > :now".to_owned();
        if !stretch.places.is_empty() {
            let names: Vec<String> = (0..stretch.places.len()).map(|at| format!(":place{at}")).collect();
            filter.push_str(&format!(" AND locationId IN ({})", names.join(", ")));
            for (name, place) in names.into_iter().zip(&stretch.places) {
                query = query.expression_attribute_values(name, text(place.to_string()));
            }
        }
        let answer = query.filter_expression(filter).send().await.map_err(|error| failed("Query", &error))?;
        let unreadable = || StoreError::new("Query", "UnreadableItem");
        let items = answer.items.unwrap_or_default();
        let items = items.iter().map(|item| registration_of(item).ok_or_else(unreadable));
        let next = answer.last_evaluated_key.as_ref().and_then(|key| text_of(key, "sk"));
        Ok(Listing { items: items.collect::<Result<_, _>>()?, next })
    }

    async fn remove_registration(&self, day: Day, sort_key: &str) -> Result<bool, StoreError> {
        self.remove(key(Partition::Day(day), sort_key)).await
    }
}

fn key(partition: Partition, sort_key: &str) -> Item {
    HashMap::from([
        ("pk".to_owned(), text(partition.to_string())),
        ("sk".to_owned(), text(sort_key.to_owned())),
    ])
}

fn text(value: String) -> AttributeValue {
    AttributeValue::S(value)
}

fn text_of(item: &Item, name: &str) -> Option<String> {
    item.get(name).and_then(|value| value.as_s().ok()).cloned()
}

fn location_of(item: &Item) -> Option<Location> {
    Some(Location { id: canonical_uuid(&text_of(item, "sk")?)?, name: text_of(item, "locationName")? })
}

fn registration_of(item: &Item) -> Option<Registration> {
    let (timestamp, id) = split_sort_key(&text_of(item, "sk")?)?;
    Some(Registration {
        id,
        location_id: canonical_uuid(&text_of(item, "locationId")?)?,
        location_name: text_of(item, "locationName")?,
        timestamp,
        name: text_of(item, "name")?,
        phone_number: text_of(item, "phoneNumber")?,
        email: text_of(item, "email")?,
    })
}

/// Keeps the code of an SDK error and drops its message, which can repeat an item.
fn failed<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E>) -> StoreError {
    let code = match error {
        SdkError::ServiceError(refused) => refused.err().code().unwrap_or("NoErrorCode"),
        SdkError::TimeoutError(_) => "Timeout",
        SdkError::DispatchFailure(_) => "DispatchFailure",
        SdkError::ResponseError(_) => "UnreadableResponse",
        _ => "RequestNotSent",
    };
    StoreError {
        service_request_id: error.request_id().map(str::to_owned),
        ..StoreError::new(operation, code)
    }
}
